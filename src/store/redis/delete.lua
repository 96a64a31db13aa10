-- Forget values.
-- KEYS the values   returns 0
for i = 1, #KEYS do
  redis.call('DEL', KEYS[i])
end
return 0
