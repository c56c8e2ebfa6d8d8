--[[
The schedule of evaluations in a partition, by Redis' clock: hosts whose clocks differ agree on what is due.

KEYS  1 evaluations
ARGV  1 how many that are due are listed at most
Returns {how many stand on the schedule, for how many ms the first of them has been due (0: none is),
         {webinar, when it was due in Unix ms, …}}.
--]]
local evaluations = KEYS[1]
local most = ARGV[1]

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local first = redis.call('ZRANGE', evaluations, 0, 0, 'WITHSCORES')[2]
local due = redis.call('ZRANGEBYSCORE', evaluations, '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
return {redis.call('ZCARD', evaluations), math.max(now - tonumber(first or now), 0), due}
