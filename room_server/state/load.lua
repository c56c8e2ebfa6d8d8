--[[
The records that a decision is made on, as stored at one moment.

KEYS  1 room   2 participations   3 roster
ARGV  1 lead ('' = none)
Returns {record, participation, entry, recording that was named later}; false where there is none.
--]]
local room, participations, roster = KEYS[1], KEYS[2], KEYS[3]
local lead = ARGV[1]

local known = redis.call('HMGET', room, 'record', 'recording')
if lead == '' then
  return {known[1], false, false, known[2]}
end
return {known[1], redis.call('HGET', participations, lead), redis.call('HGET', roster, lead), known[2]}
