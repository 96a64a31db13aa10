-- This process has put back what it holds; who was the last to come back lets everybody in again.
-- KEYS[1] the epoch   KEYS[2] set of those who are waited for   KEYS[3] the processes' leases
-- ARGV this process, its ttl (ms), ms to keep the epoch
-- returns 0
-- Atomic because of two that come back at once one must be the last.
redis.call('ZADD', KEYS[3], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
if redis.call('SREM', KEYS[2], ARGV[1]) == 0 then
  -- One of those whose names nobody knew.
  local i = redis.call('SCARD', KEYS[2])
  while i > 0 and redis.call('SREM', KEYS[2], '?' .. i) == 0 do
    i = i - 1
  end
end
if is_settling() and redis.call('SCARD', KEYS[2]) == 0 then
  redis.call('SET', KEYS[1], epoch:match('^%S+ %d+ ') .. '0', 'PX', ARGV[3])
end
return 0
