-- Take one place under a limit, or learn that there is none.
-- KEYS[1] sorted set of holders, scored by expiry (ms)   ARGV holder, limit (0: none), ttl (ms)
-- returns 1 held (also when holder held it before), 0 full
-- Atomic because prune, count and add must see the same set.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit, ttl = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if limit > 0 and redis.call('ZCARD', KEYS[1]) >= limit and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + ttl, ARGV[1])
-- The key goes with its last lease, and never before one that is longer than this.
if redis.call('PTTL', KEYS[1]) < ttl then
  redis.call('PEXPIRE', KEYS[1], ttl)
end
return 1
