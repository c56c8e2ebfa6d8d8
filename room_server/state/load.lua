--[[
The records that a decision is made on, as stored at one moment.

KEYS  1 room   2 participations   3 roster   4 watch
ARGV  1 lead ('' = none)
Returns {record, participation, entry, recording that was named later, bitmap of the lead's slots}; false where there
        is none.
--]]
local room, participations, roster, watch = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lead = ARGV[1]

local known = redis.call('HMGET', room, 'record', 'recording')
if lead == '' then
  return {known[1], false, false, known[2], false}
end
return {known[1], redis.call('HGET', participations, lead), redis.call('HGET', roster, lead), known[2],
        redis.call('HGET', watch, lead)}
