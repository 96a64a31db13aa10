-- Mark places as waited for: until the mark ends, whoever gives one back says so.
-- KEYS the marks   ARGV ttl (ms)   returns 0
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], '1', 'PX', ARGV[1])
end
return 0
