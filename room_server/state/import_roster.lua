--[[
A checked roster takes effect as a whole: the staged leads replace the roster, or are merged into it. Leads that were
forgotten a short time ago are left out. An ended webinar is evaluated again if this changes its roster.

KEYS  1 staged (lead -> entry; '=' and a lead -> the entry that it was made of, '' = none)   2 roster   3 room
      4 evaluations   5 done   6 forgotten   7 clock
ARGV  1 '1' = replace: leads that are not in the new roster are removed
      2 seconds that `done` is kept   3 how many fields were staged   4 how many of them are leads
      5 '1' = the staged entries were made for an empty roster
Returns {leads before, leads now, leads that were removed, added, changed,
         then of each lead that was left out: its id, and until when imports leave it out, Unix ms}
      | {'unknown'}: there is no such webinar | {'lost'}: some staged leads are not there any more
      | {'changed'}: an entry is not any more what a staged one was made of.
        In these cases the roster is as before, and nothing stays staged.
--]]
-- include steady.lua
local staged, roster, room, evaluations, done, forgotten, clock = unpack(KEYS)
local replace, keep, fields, leads = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local for_empty = ARGV[5] == '1'
local CHUNK = 1000

local function answer(counts, left_out)
  local reply = {counts[1], redis.call('HLEN', roster), counts[2], counts[3], counts[4]}
  for _, value in ipairs(left_out) do
    reply[#reply + 1] = value
  end
  return reply
end
local function refused(reason)
  redis.call('UNLINK', staged)
  return {reason}
end
local function in_chunks(command, key, values)
  for start = 1, #values, CHUNK do
    redis.call(command, key, unpack(values, start, math.min(start + CHUNK - 1, #values)))
  end
end

local answered = redis.call('GET', done)
if answered then
  return answer(unpack(cjson.decode(answered)))
end
local record = redis.call('HGET', room, 'record')
if not record then
  return refused('unknown')
end
if redis.call('HLEN', staged) ~= fields then
  return refused('lost')
end
local before = redis.call('HLEN', roster)
if for_empty and before > 0 then
  return refused('changed')
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

local new = leads - #left_out / 2
local added, updated, removed, writes, markers = new, 0, 0, {}, {}
if before > 0 then
  added = 0
  local names, entries, made_of = {}, {}, {}
  local pairs_of = redis.call('HGETALL', staged)
  for at = 1, #pairs_of, 2 do
    local name = pairs_of[at]
    if string.sub(name, 1, 1) == '=' then
      markers[#markers + 1] = name
      made_of[string.sub(name, 2)] = pairs_of[at + 1]
    else
      names[#names + 1] = name
      entries[#entries + 1] = pairs_of[at + 1]
    end
  end
  for start = 1, #names, CHUNK do
    local stored = redis.call('HMGET', roster, unpack(names, start, math.min(start + CHUNK - 1, #names)))
    for at, entry in ipairs(stored) do
      local name, wanted = names[start + at - 1], entries[start + at - 1]
      if made_of[name] and (entry or '') ~= made_of[name] then
        return refused('changed')
      end
      if entry ~= wanted then
        added = added + (entry and 0 or 1)
        updated = updated + (entry and 1 or 0)
        writes[#writes + 1] = name
        writes[#writes + 1] = wanted
      end
    end
  end
  removed = replace and before + added - new or 0
end
if replace or before == 0 then
  redis.call('UNLINK', roster)
  in_chunks('HDEL', staged, markers)
  if new > 0 then
    redis.call('RENAME', staged, roster)
    redis.call('PERSIST', roster)
  end
else
  in_chunks('HSET', roster, writes)
end
redis.call('UNLINK', staged)
local counts = {before, removed, added, updated}
redis.call('SET', done, cjson.encode({counts, left_out}), 'EX', keep)
local status = cjson.decode(record)['status']
if added + updated > 0 and (status == 'finished' or status == 'archived') then
  -- never earlier than scheduled before, and never the same time: so a running evaluation sees that it must run again
  local due = tonumber(redis.call('ZSCORE', evaluations, webinar) or 0)
  redis.call('ZADD', evaluations, string.format('%.0f', math.max(steady(clock), due + 1)), webinar)
end
return answer(counts, left_out)
