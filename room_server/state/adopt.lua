--[[
A checked roster takes effect as a whole: what was staged becomes, or is merged into, the roster.

KEYS  1 staged   2 roster   3 room   4 evaluations   5 done
ARGV  1 '1' = replace: leads that are not in the new roster are removed
      2 seconds that `done` is kept   3 how many leads were staged
An ended webinar is evaluated again for its new leads.
Returns {leads that were there before, leads that are there now, leads that were removed}
      | {'unknown'} when there is no such webinar | {'lost'} when not all that was staged is there;
        then nothing stays staged.
--]]
local staged, roster, room, evaluations, done = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local replace, keep, expected = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3])
local CHUNK = 1000

local answered = redis.call('GET', done)
if answered then
  local before, removed = string.match(answered, '(%d+) (%d+)')
  return {tonumber(before), redis.call('HLEN', roster), tonumber(removed)}
end
local record = redis.call('HGET', room, 'record')
if not record then
  redis.call('UNLINK', staged)
  return {'unknown'}
end
if redis.call('HLEN', staged) ~= expected then
  redis.call('UNLINK', staged)
  return {'lost'}
end
local before, removed = redis.call('HLEN', roster), 0
if before > 0 then
  local entries, added = redis.call('HGETALL', staged), 0
  for start = 1, #entries, CHUNK do
    added = added + redis.call('HSET', roster, unpack(entries, start, math.min(start + CHUNK - 1, #entries)))
  end
  removed = replace and before + added - expected or 0
end
if replace or before == 0 then
  redis.call('UNLINK', roster)
  if expected > 0 then
    redis.call('RENAME', staged, roster)
    redis.call('PERSIST', roster)
  end
end
redis.call('UNLINK', staged)
redis.call('SET', done, string.format('%d %d', before, removed), 'EX', keep)
local status = cjson.decode(record)['status']
if status == 'finished' or status == 'archived' then
  -- never sooner than said before, and always another time, or a sweep that is under way would not notice
  local webinar = string.match(room, ':([^:]+)$')
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local standing = tonumber(redis.call('ZSCORE', evaluations, webinar) or 0)
  redis.call('ZADD', evaluations, string.format('%.0f', math.max(now, standing + 1)), webinar)
end
return {before, redis.call('HLEN', roster), removed}
