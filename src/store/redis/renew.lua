-- Prolong leases that are still held; those that are gone are not taken again.
-- KEYS[1] sorted set of holders, scored by expiry (ms)   ARGV ttl (ms), holder, holder, ...
-- returns the holders that were gone
-- Atomic because a lease that expires between the look and the write could be somebody else's place by then.
local ttl = tonumber(ARGV[1])
local gone = {}
for i = 2, #ARGV do
  local ends = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if ends and tonumber(ends) > now then
    redis.call('ZADD', KEYS[1], now + ttl, ARGV[i])
  else
    gone[#gone + 1] = ARGV[i]
  end
end
if #gone < #ARGV - 1 and redis.call('PTTL', KEYS[1]) < ttl then
  redis.call('PEXPIRE', KEYS[1], ttl)
end
return gone
