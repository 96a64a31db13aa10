-- Write down places that are held as a matter of fact, whatever the limit; but not those that were taken away.
-- KEYS[1] sorted set of holders, scored by expiry (ms)   KEYS[2] sorted set of those whose place was taken away
-- ARGV holder, ms left, holder, ms left, ...
-- returns 0
-- Atomic because the key's own expiry must cover the longest lease in it.
local longest = redis.call('PTTL', KEYS[1])
local is_whole = redis.call('EXISTS', KEYS[2]) == 0
for i = 1, #ARGV, 2 do
  local left = tonumber(ARGV[i + 1])
  if is_whole or not redis.call('ZSCORE', KEYS[2], ARGV[i]) then
    redis.call('ZADD', KEYS[1], now + left, ARGV[i])
    longest = math.max(longest, left)
  end
end
if longest > 0 then
  redis.call('PEXPIRE', KEYS[1], longest)
end
return 0
