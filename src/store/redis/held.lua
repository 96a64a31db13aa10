-- How many places are taken.
-- KEYS sorted sets of holders, scored by expiry (ms)
-- returns the count of each
-- A script because expired leases that nobody has pruned yet must not count, by the server's clock; it writes nothing.
local counts, after = {}, '(' .. now_text
for i = 1, #KEYS do
  counts[i] = redis.call('ZCOUNT', KEYS[i], after, '+inf')
end
return counts
