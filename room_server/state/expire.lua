--[[
Delete some messages of an archived webinar whose retention is over. The caller passes them in slices, so that a large
webinar does not block Redis.

KEYS  1 archived   2 deliveries   3 due   4 fates
ARGV  1 webinar   2 when it must have been archived, Unix ms   3… fields of deliveries
Returns how many were deleted: none if it was not archived at that time.
--]]
local archived, deliveries, due, fates = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local webinar, archived_at = ARGV[1], ARGV[2]

if redis.call('ZSCORE', archived, webinar) ~= archived_at then
  return 0
end
local deleted = 0
for at = 3, #ARGV do
  local record = redis.call('HGET', deliveries, ARGV[at])
  if record then
    local fate = string.match(record, '"status":"([a-z_]+)"')
    if fate then -- none in a damaged record
      redis.call('HINCRBY', fates, fate, -1)
    end
    redis.call('ZREM', due, webinar .. ' ' .. ARGV[at])
    deleted = deleted + redis.call('HDEL', deliveries, ARGV[at])
  end
end
return deleted
