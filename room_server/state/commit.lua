--[[
One change of one webinar, all or nothing: compare, write, append, publish.

KEYS  as named by ARGV 2 (see Keys.of_commit)
ARGV  1 seconds that `done` is kept   2 the names of KEYS, msgpack   3 the commit, msgpack (see commits.Commit)
      4 the participation that must be stored ('' = none)   5 the same for the roster entry, if it is compared
Returns {'committed'}: now, or before, if the reply of the first try was lost
      | {'conflict', record, participation, entry, recording, bitmap of slots} as they are stored; false where there is
        none.
--]]
-- include steady.lua
local keep, names, commit = tonumber(ARGV[1]), cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3])
local expected_participation, expected_entry = ARGV[4], ARGV[5]
local EVENTS_KEPT = 1000000

local key = {}
for at, name in ipairs(names) do
  key[name] = KEYS[at]
end

-- a field that is None is msgpack's nil: the table has no such field
local room, lead = commit.room, commit.lead

if redis.call('EXISTS', key.done) == 1 then
  return {'committed'}
end

local stamp = redis.call('HGET', key.room, 'stamp') or ''
local participation, entry = '', ''
if lead ~= '' then
  participation = redis.call('HGET', key.participations, lead) or ''
  entry = redis.call('HGET', key.roster, lead) or ''
end
if stamp ~= commit.expected_stamp or participation ~= expected_participation
  or (commit.compares_entry and entry ~= expected_entry)
  or (commit.needs_slots and redis.call('HEXISTS', key.watch, lead) == 0) then
  local stored = redis.call('HMGET', key.room, 'record', 'recording')
  local slots = lead ~= '' and redis.call('HGET', key.watch, lead)
  return {'conflict', stored[1], participation ~= '' and participation, entry ~= '' and entry, stored[2], slots}
end

redis.call('SET', key.done, '1', 'EX', keep)
if room then
  redis.call('HSET', key.room, 'stamp', room.stamp, 'record', room.record, 'public', room.public)
  if room.unlisted then
    redis.call('HSET', key.room, 'unlisted', '1')
  else
    redis.call('HDEL', key.room, 'unlisted')
  end
  redis.call('ZADD', key.webinars, string.format('%.0f', room.scheduled_at), commit.webinar_id)
  if room.archived_at then
    -- the later of both clocks: one that is behind would make the records seem older, and delete them too soon
    local time = redis.call('TIME')
    local now = math.max(room.archived_at, tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
    redis.call('ZADD', key.archived, 'NX', string.format('%.0f', now), commit.webinar_id)
  end
end
if commit.recording then
  redis.call('HSET', key.room, 'recording', commit.recording)
end
if commit.participation then
  redis.call('HSET', key.participations, lead, commit.participation)
end
if commit.evaluation_in then
  -- never earlier than scheduled before, and never the same time: so a running evaluation sees that it must run again
  local at = steady(key.clock) + commit.evaluation_in
  local scheduled = tonumber(redis.call('ZSCORE', key.evaluations, commit.webinar_id) or 0)
  redis.call('ZADD', key.evaluations, string.format('%.0f', math.max(at, scheduled + 1)), commit.webinar_id)
end

for _, event in ipairs(commit.events) do
  redis.call('XADD', key.events, 'MAXLEN', '~', EVENTS_KEPT, '*', 'hook', event.hook, 'payload', event.payload,
             'request_id', commit.request_id, 'actor', event.actor, 'id', event.id)
end
local since = #commit.messages > 0 and string.format('%.0f', steady(key.clock))
for _, message in ipairs(commit.messages) do
  redis.call('HSET', key.deliveries, message.field, message.record)
  redis.call('HINCRBY', key.fates, message.status, 1)
  if message.status == 'queued' then
    local stream = message.urgent and key.urgent or key.outbox
    redis.call('XADD', stream, '*', 'webinar', commit.webinar_id, 'field', message.field, 'at', since)
  end
end
for _, name in ipairs(commit.drops) do
  redis.call('ZREM', key.announcements, commit.webinar_id .. ' ' .. name)
end
for _, announcement in ipairs(commit.adds) do
  local at = string.format('%.0f', announcement.at)
  redis.call('ZADD', key.announcements, at, commit.webinar_id .. ' ' .. announcement.name)
end
for _, counter in ipairs(commit.counters) do
  redis.call('HINCRBY', key.tally, counter, 1)
end
if room then
  redis.call('SPUBLISH', key.channel, room.public)
end
return {'committed'}
