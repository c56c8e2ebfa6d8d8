--[[
The archived webinars whose retention is over, by the caller's clock and by that of Redis: deletion cannot be undone, so
a clock that is ahead must not cause it too soon.

KEYS  1 archived
ARGV  1 before when they must have been archived, by the caller's clock, Unix ms   2 how long ago that is, ms
      3 how many at most
Returns webinar and when it was archived, Unix ms, one after the other.
--]]
local archived = KEYS[1]
local before, ago, most = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local last = string.format('(%.0f', math.min(before, now - ago))
return redis.call('ZRANGEBYSCORE', archived, '-inf', last, 'WITHSCORES', 'LIMIT', 0, most)
