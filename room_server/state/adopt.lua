--[[
A checked roster takes effect as a whole: what was staged becomes, or is merged into, the roster.

KEYS  1 staged   2 roster   3 room   4 evaluations   5 done
ARGV  1 '1' = replace: leads that are not in the new roster are removed
      2 now, Unix ms: an ended webinar is evaluated again for its new leads   3 seconds that `done` is kept
Returns {leads that were there before, leads that are there now, leads that were removed}
      | {'unknown'} when there is no such webinar; then nothing stays staged.
--]]
local staged, roster, room, evaluations, done = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local replace, now, keep = ARGV[1] == '1', ARGV[2], tonumber(ARGV[3])
local CHUNK = 1000

local answered = redis.call('GET', done)
if answered then
  local before, removed = string.match(answered, '(%d+) (%d+)')
  return {tonumber(before), redis.call('HLEN', roster), tonumber(removed)}
end
local record = redis.call('HGET', room, 'record')
if not record then
  redis.call('DEL', staged)
  return {'unknown'}
end
local before, added, removed = redis.call('HLEN', roster), 0, 0
local entries = redis.call('HGETALL', staged)
for start = 1, #entries, CHUNK do
  added = added + redis.call('HSET', roster, unpack(entries, start, math.min(start + CHUNK - 1, #entries)))
end
if replace then
  removed = before + added - #entries / 2
  redis.call('DEL', roster)
  if #entries > 0 then
    redis.call('RENAME', staged, roster)
    redis.call('PERSIST', roster)
  end
end
redis.call('DEL', staged)
redis.call('SET', done, string.format('%d %d', before, removed), 'EX', keep)
local status = cjson.decode(record)['status']
if status == 'finished' or status == 'archived' then
  redis.call('ZADD', evaluations, 'GT', now, string.match(room, ':([^:]+)$'))
end
return {before, redis.call('HLEN', roster), removed}
