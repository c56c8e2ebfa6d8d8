--[[
A checked roster takes effect as a whole: the staged leads replace the roster, or are merged into it. Leads that were
forgotten a short time ago are left out. An ended webinar is evaluated again for its new leads.

KEYS  1 staged   2 roster   3 room   4 evaluations   5 done   6 forgotten   7 clock
ARGV  1 '1' = replace: leads that are not in the new roster are removed
      2 seconds that `done` is kept   3 how many leads were staged
Returns {leads before, leads now, leads that were removed,
         then of each lead that was left out: its id, and until when imports leave it out, Unix ms}
      | {'unknown'}: there is no such webinar | {'lost'}: some staged leads are not there any more.
        In both cases the roster is as before, and nothing stays staged.
--]]
-- include steady.lua
local staged, roster, room, evaluations, done, forgotten, clock = unpack(KEYS)
local replace, keep, expected = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3])
local CHUNK = 1000

local function answer(before, removed, left_out)
  local reply = {before, redis.call('HLEN', roster), removed}
  for _, value in ipairs(left_out) do
    reply[#reply + 1] = value
  end
  return reply
end
local answered = redis.call('GET', done)
if answered then
  local result = cjson.decode(answered)
  return answer(result[1], result[2], result[3])
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
local webinar = string.match(room, ':([^:]+)$')
local time, left_out = redis.call('TIME'), {}
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local tombstones = redis.call('ZREVRANGEBYSCORE', forgotten, '+inf', string.format('%.0f', now), 'WITHSCORES')
for at = 1, #tombstones, 2 do
  local lead, where = string.match(tombstones[at], '^(%d+) ?(.*)$')
  if (where == '' or where == webinar) and redis.call('HDEL', staged, lead) == 1 then
    left_out[#left_out + 1] = lead
    left_out[#left_out + 1] = tombstones[at + 1]
  end
end
local new = expected - #left_out / 2
local before, removed = redis.call('HLEN', roster), 0
if before > 0 then
  local entries, added = redis.call('HGETALL', staged), 0
  for start = 1, #entries, CHUNK do
    added = added + redis.call('HSET', roster, unpack(entries, start, math.min(start + CHUNK - 1, #entries)))
  end
  removed = replace and before + added - new or 0
end
if replace or before == 0 then
  redis.call('UNLINK', roster)
  if new > 0 then
    redis.call('RENAME', staged, roster)
    redis.call('PERSIST', roster)
  end
end
redis.call('UNLINK', staged)
redis.call('SET', done, cjson.encode({before, removed, left_out}), 'EX', keep)
local status = cjson.decode(record)['status']
if status == 'finished' or status == 'archived' then
  -- never earlier than scheduled before, and never the same time: so a running evaluation sees that it must run again
  local due = tonumber(redis.call('ZSCORE', evaluations, webinar) or 0)
  redis.call('ZADD', evaluations, string.format('%.0f', math.max(steady(clock), due + 1)), webinar)
end
return answer(before, removed, left_out)
