--[[
A person is forgotten: for some time imports leave the lead out, and the entries of the streams up to now are queued to
be erased.

KEYS  1 forgotten (sorted set: `lead`, or `lead webinar` if one webinar forgets the lead -> until when, Unix ms)
      2 erasures (sorted set: the same members -> the time of the last entry to be erased, Unix ms)   3 events
ARGV  1 the member   2 for how many seconds
Returns until when, Unix ms.
--]]
local forgotten, erasures, events = KEYS[1], KEYS[2], KEYS[3]
local member, seconds = ARGV[1], tonumber(ARGV[2])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ends = string.format('%.0f', now + seconds * 1000)
redis.call('ZREMRANGEBYSCORE', forgotten, '-inf', string.format('%.0f', now))
redis.call('ZADD', forgotten, ends, member)
redis.call('EXPIRE', forgotten, seconds)
-- a clock that was set back does not set back the ids of a stream
local last = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
local latest = math.max(now, last and tonumber(string.match(last[1], '^%d+')) or 0)
redis.call('ZADD', erasures, 'GT', string.format('%.0f', latest), member)
return ends
