--[[
Put messages that are due on their streams. A member that names no message goes there, too; the reader parks it.

KEYS  1 due   2 outbox   3 clock   4 urgent
ARGV  1 how many at most   2… names of urgent messages
Returns how many.
--]]
-- include steady.lua
local due, outbox, clock, urgent = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local most = ARGV[1]

local hurries = {}
for at = 2, #ARGV do
  hurries[ARGV[at]] = true
end

if redis.call('EXISTS', due) == 0 then
  return 0
end
local now = string.format('%.0f', steady(clock))
local waiting = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
for at = 1, #waiting, 2 do
  local member, since = waiting[at], waiting[at + 1]
  local webinar, field = string.match(member, '^(%S+) (%S+)$')
  redis.call('ZREM', due, member)
  local stream = hurries[string.match(field or '', ':(.*)$')] and urgent or outbox
  redis.call('XADD', stream, '*', 'webinar', webinar or '', 'field', field or member, 'at', since)
end
return #waiting / 2
