--[[
Schedule another evaluation of a webinar that has ended.

KEYS  1 evaluations   2 clock
ARGV  1 webinar
Returns when it is due, Unix ms by the clock.
--]]
-- include steady.lua
local evaluations, clock = KEYS[1], KEYS[2]
local webinar = ARGV[1]

-- never earlier than scheduled before, and never the same time: so a running evaluation sees that it must run again
local scheduled = tonumber(redis.call('ZSCORE', evaluations, webinar) or 0)
local due = string.format('%.0f', math.max(steady(clock), scheduled + 1))
redis.call('ZADD', evaluations, due, webinar)
return due
