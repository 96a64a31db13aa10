-- Take one place under a limit, or learn that there is none; then mark it as waited for.
-- KEYS[1] sorted set of holders, scored by expiry (ms)   KEYS[2] the mark   KEYS[3] those whose place was taken away
-- ARGV holder, limit (0: none), ttl (ms), the mark's ttl (ms), how many others are the process's own, 1 to have all put back what
--   they hold where some of its own are missing, or 0
-- returns 1 held (also when holder held it before), 0 full, -1 some of its own are missing, -2 nobody is let in yet
-- Atomic because prune, count and add must see the same set, and because no place may come free between the refusal and
-- the mark.
local limit, ttl = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_text)
if limit > 0 then
  local count = redis.call('ZCARD', KEYS[1])
  if count < tonumber(ARGV[5]) then
    -- Evicted: then those of others are missing as well.
    if epoch and ARGV[6] == '1' and redis.call('EXISTS', KEYS[3]) == 0 then
      lose()
    end
    return -1
  end
  if is_settling() then
    return -2
  end
  if count >= limit and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
    redis.call('SET', KEYS[2], '1', 'PX', ARGV[4])
    return 0
  end
end
redis.call('ZADD', KEYS[1], now + ttl, ARGV[1])
-- The key goes a second after its last lease at the latest, and never before one that is longer than this.
if redis.call('PTTL', KEYS[1]) < ttl then
  redis.call('PEXPIRE', KEYS[1], ttl + 1000)
end
return 1
