-- Come to know whose memory this is; if it is not the one this process knew, have everybody waited for who may hold something.
-- KEYS[1] the epoch: "id born until", ms; before `until` nobody new is let in, and the id ends with ".server"
-- KEYS[2] set of those who are waited for
-- KEYS[3] the processes' leases: who is there has put back what he holds
-- ARGV the epoch's id that this process knew or '', the id of a new one, this process, ms to wait at most, ms to keep the epoch,
--   how many others there may be of whom nobody knows the names, 1 on a connection that is new or 0, channel, message,
--   other process, other process, ...
-- returns id, 1 when something was lost or 0
-- Atomic because one epoch must be everybody's. Always writes: a Redis that cannot be written to does not pass for well.
local known, me, wait, guests = ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[6])
local found = redis.call('GET', KEYS[1])
-- A server that was started again, or another one, has what it wrote to its disk or was told: what came after that is lost.
-- Asked on a new connection only: where servers stand behind one address they must not call each other's memory lost for ever.
local info = redis.pcall('INFO', 'server')
local server = type(info) == 'string' and info:match('run_id:(%x+)') or ''
if found and ARGV[7] == '1' and server ~= '' and found:match('^%S-%.(%x+) ') ~= server then
  found = false
  redis.call('DEL', KEYS[2])
end
-- Nobody has put back anything in a memory that is new, though who forgot an epoch alone still knows the processes.
if not found then
  redis.call('DEL', KEYS[3])
end
local id, born, ends = (found or ARGV[2] .. '.' .. server .. ' ' .. now_text .. ' 0'):match('^(%S+) (%d+) (%d+)$')
local lost = known ~= id and (known ~= '' or not found and guests > 0)

local function wait_for(who)
  redis.call('SADD', KEYS[2], who)
end

if lost then
  wait_for(me)
  -- Who has not come back in that time is dead, or goes on without Redis: nobody waits for him twice.
  if now - tonumber(born) < wait then
    for i = 10, #ARGV do
      local there = redis.call('ZSCORE', KEYS[3], ARGV[i])
      if not there or tonumber(there) <= now then
        wait_for(ARGV[i])
      end
    end
    for i = 1, #ARGV < 10 and guests or 0 do
      wait_for('?' .. i)
    end
  end
  redis.call('PEXPIRE', KEYS[2], wait)
  ends = string.format('%.0f', now + wait)
end
redis.call('SET', KEYS[1], id .. ' ' .. born .. ' ' .. ends, 'PX', ARGV[5])
if lost then
  redis.call('PUBLISH', ARGV[8], ARGV[9])
end
return { id, lost and 1 or 0 }
