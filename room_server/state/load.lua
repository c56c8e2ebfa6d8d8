--[[
The records that a decision is made on, as they stand at one moment.

KEYS  1 room   2 participations   3 roster
ARGV  1 lead ('' = none)
Returns {record, participation, entry}, each false when there is none.
--]]
local room, participations, roster = KEYS[1], KEYS[2], KEYS[3]
local lead = ARGV[1]

local record = redis.call('HGET', room, 'record')
if lead == '' then
  return {record, false, false}
end
return {record, redis.call('HGET', participations, lead), redis.call('HGET', roster, lead)}
