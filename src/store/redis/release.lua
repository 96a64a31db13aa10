-- Give places back and tell every process that there is room.
-- KEYS[1] sorted set of holders, scored by expiry (ms)   ARGV channel, message, holder, holder, ...
-- returns how many places came free; unknown holders are ignored
-- Atomic because who hears the message must find the place free. Prunes, so that the last release leaves no key behind.
local freed = 0
for i = 3, #ARGV do
  freed = freed + redis.call('ZREM', KEYS[1], ARGV[i])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
freed = freed + redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if freed > 0 then
  redis.call('PUBLISH', ARGV[1], ARGV[2])
end
return freed
