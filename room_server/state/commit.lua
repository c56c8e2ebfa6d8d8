--[[
One change of one webinar, all or nothing: compare, write, append, publish.

KEYS  1 done  2 room  3 participations  4 roster  5 events  6 outbox  7 deliveries  8 evaluations  9 webinars
      10 tally  11 channel (sharded pub/sub)  12 fates  13 archived  14 clock
ARGV  1 seconds that `done` is kept
      2 stamp that the room must have ('' = there must be no room)
      3 its new stamp ('' = the room is not changed)   4 its new record   5 its new public text
      6 its scheduled time, Unix ms
      7 lead ('' = none)   8 the participation that must stand ('' = none)   9 the new one ('' = not changed)
      10 '1' = the roster entry is compared   11 the entry that must stand ('' = none)
      12 in how many ms the evaluation is due ('' = not armed)
      13 id of the request that asked for it ('' = nobody's)
      14 the recording that was named after the room was archived ('' = not changed)
      15 when the room was archived, by the caller's clock, Unix ms ('' = it is not)
      16 number of events E, then E pairs: hook, text
      then number of messages M, then M triples: field, record, '1' = wakes the sender
      then number of counters C, then C names
Returns {'committed'} (now, or before: the reply of a first try was lost)
      | {'conflict', record, participation, entry, recording} as they stand, each false when there is none.
--]]
-- include steady.lua
local done, room, participations, roster = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local events, outbox, deliveries, evaluations = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local webinars, tally, channel, fates, archived, clock = KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local keep, expected_stamp, stamp, record, public = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local scheduled, lead, expected_participation, participation = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local compares_entry, expected_entry, due, request = ARGV[10] == '1', ARGV[11], ARGV[12], ARGV[13]
local recording, archived_at = ARGV[14], ARGV[15]
local EVENTS_KEPT = 1000000

if redis.call('EXISTS', done) == 1 then
  return {'committed'}
end

local webinar = string.match(room, ':([^:]+)$')
local standing_stamp = redis.call('HGET', room, 'stamp') or ''
local standing_participation, standing_entry = '', ''
if lead ~= '' then
  standing_participation = redis.call('HGET', participations, lead) or ''
  standing_entry = redis.call('HGET', roster, lead) or ''
end
if standing_stamp ~= expected_stamp or standing_participation ~= expected_participation
  or (compares_entry and standing_entry ~= expected_entry) then
  local known = redis.call('HMGET', room, 'record', 'recording')
  return {'conflict', known[1], standing_participation ~= '' and standing_participation,
          standing_entry ~= '' and standing_entry, known[2]}
end

redis.call('SET', done, '1', 'EX', keep)
if stamp ~= '' then
  redis.call('HSET', room, 'stamp', stamp, 'record', record, 'public', public)
  redis.call('ZADD', webinars, scheduled, webinar)
  if archived_at ~= '' then
    -- by the clock that is ahead: one that is behind must not let the records seem old
    local time = redis.call('TIME')
    local now = math.max(tonumber(archived_at), tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
    redis.call('ZADD', archived, 'NX', string.format('%.0f', now), webinar)
  end
end
if recording ~= '' then
  redis.call('HSET', room, 'recording', recording)
end
if participation ~= '' then
  redis.call('HSET', participations, lead, participation)
end
if due ~= '' then
  -- never sooner than said before, and always another time, or a sweep that is under way would not notice
  local at = steady(clock) + tonumber(due)
  local standing = tonumber(redis.call('ZSCORE', evaluations, webinar) or 0)
  redis.call('ZADD', evaluations, string.format('%.0f', math.max(at, standing + 1)), webinar)
end

local at = 16
local function next_argument()
  at = at + 1
  return ARGV[at - 1]
end
for _ = 1, tonumber(next_argument()) do
  redis.call('XADD', events, 'MAXLEN', '~', EVENTS_KEPT, '*', 'hook', next_argument(), 'payload', next_argument(),
             'request_id', request)
end
local messages = tonumber(next_argument())
local since = messages > 0 and string.format('%.0f', steady(clock))
for _ = 1, messages do
  local field, message, wakes = next_argument(), next_argument(), next_argument() == '1'
  redis.call('HSET', deliveries, field, message)
  redis.call('HINCRBY', fates, string.match(message, '"status":"([a-z_]+)"'), 1)
  if wakes then
    redis.call('XADD', outbox, '*', 'webinar', webinar, 'field', field, 'at', since)
  end
end
for _ = 1, tonumber(next_argument()) do
  redis.call('HINCRBY', tally, next_argument(), 1)
end
if stamp ~= '' then
  redis.call('SPUBLISH', channel, public)
end
return {'committed'}
