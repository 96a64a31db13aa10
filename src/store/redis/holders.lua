-- Who holds places, and for how long still.
-- KEYS[1] sorted set of holders, scored by expiry (ms)
-- returns holder, ms left, holder, ms left, ...
-- A script because "still" is measured by the server's clock; it writes nothing.
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now_text, '+inf', 'WITHSCORES')
for i = 2, #found, 2 do
  found[i] = tonumber(found[i]) - now
end
return found
