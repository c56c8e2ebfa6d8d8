--[[
Queue messages of one announcement, unless the room has changed since it was read. A message that is there already for
the same planned time stays as it is; one for another time is replaced, unless it is just being sent.

KEYS  1 room   2 deliveries   3 fates   4 the messages' stream   5 clock
ARGV  1 webinar   2 the room's stamp   3 the planned time, as it stands in the records   4… field and record of each
Returns {'stale', 0, 0}: the room has another stamp; nothing is done
      | {'done', how many were queued, 1 if a message is just being sent, else 0}.
--]]
-- include steady.lua
local room, deliveries, fates, stream, clock = unpack(KEYS)
local webinar, stamp, planned_at = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HGET', room, 'stamp') ~= stamp then
  return {'stale', 0, 0}
end
local queued, busy = 0, 0
local now = string.format('%.0f', steady(clock))
for at = 4, #ARGV, 2 do
  local field, record = ARGV[at], ARGV[at + 1]
  local current = redis.call('HGET', deliveries, field)
  local status = current and string.match(current, '"status":"([a-z_]+)"')
  local is_known = current and string.match(current, '"planned_at":"([^"]+)"') == planned_at
  if not is_known and status == 'sending' then
    busy = 1
  elseif not is_known then
    if status then
      redis.call('HINCRBY', fates, status, -1)
    end
    redis.call('HSET', deliveries, field, record)
    redis.call('HINCRBY', fates, 'queued', 1)
    redis.call('XADD', stream, '*', 'webinar', webinar, 'field', field, 'at', now)
    queued = queued + 1
  end
end
return {'done', queued, busy}
