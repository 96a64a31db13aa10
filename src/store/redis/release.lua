-- Give places back and, if somebody may wait for them, tell every process that there is room.
-- KEYS[1] sorted set of holders, scored by expiry (ms)   KEYS[2] the mark that they are waited for
-- ARGV channel, message, holder, holder, ...
-- returns how many places came free; unknown holders are ignored
-- Atomic because who hears the message must find the place free. Prunes, so that the last release leaves no key behind.
local freed = 0
for i = 3, #ARGV do
  freed = freed + redis.call('ZREM', KEYS[1], ARGV[i])
end
freed = freed + redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_text)
if freed > 0 and redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('PUBLISH', ARGV[1], ARGV[2])
end
return freed
