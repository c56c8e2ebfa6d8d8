--[[
Take a finished evaluation off the schedule, unless it was scheduled again meanwhile.

KEYS  1 evaluations
ARGV  1 webinar   2 the time at which it was due
Returns 1 when it is off the schedule, 0 when it is scheduled for another time.
--]]
local evaluations = KEYS[1]
local webinar, due = ARGV[1], ARGV[2]

local scheduled = redis.call('ZSCORE', evaluations, webinar)
if not scheduled then
  return 1
end
if tonumber(scheduled) ~= tonumber(due) then
  return 0
end
return redis.call('ZREM', evaluations, webinar)
