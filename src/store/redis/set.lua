-- Write a value down for a while.
-- KEYS[1] the value   ARGV text, ttl (ms)   returns 0
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 0
