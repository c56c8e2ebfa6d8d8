--[[
Everything of a webinar, in one step and once: a repeat must not delete one that was made anew since.

KEYS  1 done   2 webinars   3 evaluations   4 fates   5 deliveries   6… the keys that live as long as the webinar
ARGV  1 seconds that `done` is kept   2 webinar
Returns 'deleted' (now, or before: the reply of a first try was lost).
--]]
local done, webinars, evaluations, fates, deliveries = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local keep, webinar = tonumber(ARGV[1]), ARGV[2]

if redis.call('EXISTS', done) == 1 then
  return 'deleted'
end
redis.call('SET', done, '1', 'EX', keep)
for _, record in ipairs(redis.call('HVALS', deliveries)) do
  redis.call('HINCRBY', fates, string.match(record, '"status":"([a-z_]+)"'), -1)
end
redis.call('UNLINK', unpack(KEYS, 6))
redis.call('ZREM', webinars, webinar)
redis.call('ZREM', evaluations, webinar)
return 'deleted'
