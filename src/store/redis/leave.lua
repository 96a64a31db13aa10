-- The last process has gone: nobody remembers this memory.
-- KEYS[1] the epoch   KEYS[2] set of those who are waited for   KEYS[3] the processes' leases
-- returns 0
if redis.call('ZCOUNT', KEYS[3], '(' .. now_text, '+inf') == 0 then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
end
return 0
