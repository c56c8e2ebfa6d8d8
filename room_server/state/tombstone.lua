--[[
A person is forgotten: for some time imports leave the lead out.

KEYS  1 forgotten (sorted set: `lead`, or `lead webinar` if one webinar forgets the lead -> until when, Unix ms)
ARGV  1 the member   2 for how many seconds
Returns until when, Unix ms.
--]]
local forgotten = KEYS[1]
local member, seconds = ARGV[1], tonumber(ARGV[2])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ends = string.format('%.0f', now + seconds * 1000)
redis.call('ZREMRANGEBYSCORE', forgotten, '-inf', string.format('%.0f', now))
redis.call('ZADD', forgotten, ends, member)
redis.call('EXPIRE', forgotten, seconds)
return ends
