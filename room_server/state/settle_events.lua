--[[
What followed from a request to a receiver: compares its progress, writes the new one, acknowledges and parks events.

KEYS  1 events   2 receiver   3 parked
ARGV  1 consumer group   2 the progress that is expected ('' = none)   3 the new one
      4 why the events are parked, JSON ('' = they are not)   5 … stream ids of events to acknowledge
Returns 1 when the progress is the new one (also when it was before: the reply of a first try was lost); else the present
      progress (false: none), and nothing is done.
--]]
-- include stream_group.lua
local events, receiver, parked = KEYS[1], KEYS[2], KEYS[3]
local group, expected, wanted, why = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local current = redis.call('HGET', receiver, 'progress')
if (current or '') ~= expected and current ~= wanted then
  return current
end
redis.call('HSET', receiver, 'progress', wanted)
for at = 5, #ARGV do
  redis.call('XACK', events, group, ARGV[at])
  if why ~= '' then
    redis.call('HSET', parked, ARGV[at], why)
  end
end
-- what was parked and is sent again lies behind the place
if #ARGV >= 5 and is_before(redis.call('HGET', receiver, 'place') or '0-0', ARGV[#ARGV]) then
  redis.call('HSET', receiver, 'place', ARGV[#ARGV])
end
return 1
