-- How many places are taken.
-- KEYS[1] sorted set of holders, scored by expiry (ms)
-- returns the count
-- A script because expired leases that nobody has pruned yet must not count, by the server's clock; it writes nothing.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now), '+inf')
