--[[
The schedule of evaluations in a partition, by one clock in Redis: hosts whose clocks differ agree on what is due.

KEYS  1 evaluations   2 clock
ARGV  1 how many due webinars to list at most
Returns {how many webinars are on the schedule, for how many ms the first has been due (0: none is due),
         {webinar, when it was due in Unix ms, …}}.
--]]
-- include steady.lua
local evaluations, clock = KEYS[1], KEYS[2]
local most = ARGV[1]

local first = redis.call('ZRANGE', evaluations, 0, 0, 'WITHSCORES')[2]
if not first then
  return {0, 0, {}}
end
local now = steady(clock)
local due = redis.call('ZRANGEBYSCORE', evaluations, '-inf', string.format('%.0f', now), 'WITHSCORES', 'LIMIT', 0, most)
return {redis.call('ZCARD', evaluations), math.max(now - tonumber(first), 0), due}
