--[[
Puts due messages back on the stream. A member that names no message goes there, too; its reader discards it.

KEYS  1 due   2 outbox   3 clock
ARGV  1 how many at most
Returns how many.
--]]
-- include steady.lua
local due, outbox, clock = KEYS[1], KEYS[2], KEYS[3]
local most = ARGV[1]

if redis.call('EXISTS', due) == 0 then
  return 0
end
local now = string.format('%.0f', steady(clock))
local waiting = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
for at = 1, #waiting, 2 do
  local member, since = waiting[at], waiting[at + 1]
  local webinar, field = string.match(member, '^(%S+) (%S+)$')
  redis.call('ZREM', due, member)
  redis.call('XADD', outbox, '*', 'webinar', webinar or '', 'field', field or member, 'at', since)
end
return #waiting / 2
