-- Prolong leases. What the process knows to be its own still is put back where it is missing, unless it was taken away.
-- KEYS[1] sorted set of holders, scored by expiry (ms)   KEYS[2] sorted set of those whose place was taken away
-- ARGV ttl (ms), 1 to put back or 0, holder, holder, ...
-- returns the holders that are gone
-- Atomic because a lease that expires between the look and the write could be somebody else's place by then.
local ttl, mend = tonumber(ARGV[1]), ARGV[2] == '1'
local gone = {}
for i = 3, #ARGV do
  local ends = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if ends and tonumber(ends) > now or mend and redis.call('ZREM', KEYS[2], ARGV[i]) == 0 then
    redis.call('ZADD', KEYS[1], now + ttl, ARGV[i])
  else
    gone[#gone + 1] = ARGV[i]
  end
end
if #gone < #ARGV - 2 and redis.call('PTTL', KEYS[1]) < ttl then
  redis.call('PEXPIRE', KEYS[1], ttl)
end
return gone
