-- Run calls of the scripts beside this one, in order and as one: what a process asks in one moment is one trip.
-- KEYS those of all calls, one call's after the other's; then the epoch, as `meet.lua` writes it
-- ARGV[1] JSON list, of each call: script, how many keys, how many arguments, the arguments
-- ARGV[2] the id of the epoch that the process knows; '*': it does not ask
-- returns each call's answer; nothing is run, and '' is returned, where the epoch is another one or has gone
-- Each script sees KEYS and ARGV of its own, and the server's clock: `now` in whole ms, `exact` with their fraction, and
-- `now_text`, since Lua takes its time to write a number; `is_settling()`: somebody has not put back yet what he holds; and
-- `lose()`: something was forgotten, so that all must put back what they hold.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local now_text = string.format('%.0f', now)
local exact = time[1] * 1000 + time[2] / 1000
local epoch = ARGV[2] ~= '*' and redis.call('GET', KEYS[#KEYS])
if ARGV[2] ~= '*' and (not epoch or epoch:sub(1, #ARGV[2] + 1) ~= ARGV[2] .. ' ') then
  return ''
end
local function is_settling()
  return epoch and tonumber(epoch:match('%d+$')) > now
end
local epoch_key = KEYS[#KEYS]
local function lose()
  redis.call('DEL', epoch_key)
end
local scripts = {}
-- (the scripts)
local calls = cjson.decode(ARGV[1])
local answers, key, at = {}, 0, 1
while at <= #calls do
  local keys, args = {}, {}
  for i = 1, calls[at + 1] do
    keys[i] = KEYS[key + i]
  end
  key = key + #keys
  local count = calls[at + 2]
  for i = 1, count do
    args[i] = calls[at + 2 + i]
  end
  answers[#answers + 1] = scripts[calls[at]](keys, args)
  at = at + 3 + count
end
return answers
