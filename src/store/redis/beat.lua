-- This process is alive, and with it the epoch.
-- KEYS[1] the epoch   KEYS[2] the processes' leases   ARGV this process, its ttl (ms), ms to keep the epoch
-- returns 0
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2] + 1000)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 0
