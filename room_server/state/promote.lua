--[[
Messages whose time has come go back to the stream; what names no message goes there too, to be parked by its reader.

KEYS  1 due   2 outbox
ARGV  1 now, Unix ms   2 how many at most
Returns how many.
--]]
local due, outbox = KEYS[1], KEYS[2]
local now, most = ARGV[1], ARGV[2]

local members = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)
for _, member in ipairs(members) do
  local webinar, field = string.match(member, '^(%S+) (%S+)$')
  redis.call('ZREM', due, member)
  redis.call('XADD', outbox, '*', 'webinar', webinar or '', 'field', field or member)
end
return #members
