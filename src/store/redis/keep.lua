-- Write values down again that were lost, where nobody has written a newer one.
-- KEYS[1] the value   ARGV text, ttl (ms)   returns 0
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX')
return 0
