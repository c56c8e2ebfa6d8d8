--[[
Delete everything of a webinar in one step. It runs once: a repeat must not delete a new webinar with the same id.

KEYS  1 done   2 webinars   3 evaluations   4 archived   5 fates   6 announcements   7 deliveries
      8… the keys that are deleted with the webinar
ARGV  1 seconds that `done` is kept   2 webinar   3 when it must have been archived, Unix ms ('' = any webinar)
      4… names of announcements
Returns 'deleted': now, or before, if the reply of the first try was lost | 'kept': it was not archived at that time.
--]]
local done, webinars, evaluations, archived, fates = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local announcements, deliveries = KEYS[6], KEYS[7]
local keep, webinar, archived_at = tonumber(ARGV[1]), ARGV[2], ARGV[3]

if redis.call('EXISTS', done) == 1 then
  return 'deleted'
end
if archived_at ~= '' and redis.call('ZSCORE', archived, webinar) ~= archived_at then
  return 'kept'
end
redis.call('SET', done, '1', 'EX', keep)
for _, record in ipairs(redis.call('HVALS', deliveries)) do
  local fate = string.match(record, '"status":"([a-z_]+)"')
  if fate then -- none in a damaged record
    redis.call('HINCRBY', fates, fate, -1)
  end
end
redis.call('UNLINK', unpack(KEYS, 8))
for at = 4, #ARGV do
  redis.call('ZREM', announcements, webinar .. ' ' .. ARGV[at])
end
redis.call('ZREM', webinars, webinar)
redis.call('ZREM', evaluations, webinar)
redis.call('ZREM', archived, webinar)
return 'deleted'
