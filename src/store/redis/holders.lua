-- Who holds places, and for how long still.
-- KEYS[1] sorted set of holders, scored by expiry (ms)
-- returns holder, ms left, holder, ms left, ...
-- A script because "still" is measured by the server's clock; it writes nothing.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf', 'WITHSCORES')
for i = 2, #found, 2 do
  found[i] = tonumber(found[i]) - now
end
return found
