-- Read values.
-- KEYS the values   returns each, false where there is none
local found = {}
for i = 1, #KEYS do
  found[i] = redis.call('GET', KEYS[i])
end
return found
