--[[
The announcements of a partition that are due, by Redis' own clock: they are due at moments of the calendar.

KEYS  1 announcements
ARGV  1 how many at most
Returns {now, Unix ms, {member, when it was due, …}}.
--]]
local announcements = KEYS[1]
local most = ARGV[1]

local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
return {now, redis.call('ZRANGEBYSCORE', announcements, '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)}
