-- Write down places that are held as a matter of fact, whatever the limit.
-- KEYS[1] sorted set of holders, scored by expiry (ms)   ARGV holder, ms left, holder, ms left, ...
-- returns 0
-- Atomic because the key's own expiry must cover the longest lease in it.
local longest = redis.call('PTTL', KEYS[1])
for i = 1, #ARGV, 2 do
  local left = tonumber(ARGV[i + 1])
  redis.call('ZADD', KEYS[1], now + left, ARGV[i])
  longest = math.max(longest, left)
end
redis.call('PEXPIRE', KEYS[1], longest)
return 0
