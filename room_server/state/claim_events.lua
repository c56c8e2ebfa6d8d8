--[[
The next events for a receiver, for the one worker that may send to it now: the lease of a worker that died runs out.
What was handed out and not acknowledged is handed out again, in the stream's order, before anything new.

KEYS  1 events   2 receiver (see Keys.receiver)   3 receivers   4 clock
ARGV  1 consumer group   2 the worker   3 how long its lease holds, ms (0: it is given back)   4 how many at most
      5 '1' = only a lease that this worker holds and something new is of interest   6 the receiver's id   7 its URL
Returns {'held'}: this worker has no lease | {'idle'}: as ARGV 5 asks, there is nothing to do
      | {'new', now}: the receiver had no place; its place is now the end of the stream
      | {'claimed', now, progress, how many events were cut off before this, {{id, {field, value, …}}, …}}
      `now` in ms by the clock; an event that was erased has false in place of its fields.
--]]
-- include steady.lua
-- include stream_group.lua
local events, receiver, receivers, clock = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, worker, lease, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local peeks, id, url = ARGV[5] == '1', ARGV[6], ARGV[7]

local known = redis.call('HMGET', receiver, 'lease', 'progress', 'read')
local held_until, holder = string.match(known[1] or '', '^(%d+) (.*)$')
local stream, of_group = stream_and_group(events, group)
if peeks and holder == worker and of_group and of_group['pending'] == 0
  and of_group['last-delivered-id'] == stream['last-generated-id'] then
  return {'idle'}
end
if lease == 0 then
  if holder == worker then
    redis.call('HDEL', receiver, 'lease')
  end
  return {'held'}
end

local now = steady(clock)
-- a lease that ends later than any can was taken before a fail-over lost the clock
if holder and holder ~= worker and tonumber(held_until) > now and tonumber(held_until) <= now + 2 * lease then
  return {'held'}
end
redis.call('HSET', receiver, 'lease', string.format('%.0f %s', now + lease, worker))

local progress = known[2]
if not of_group then
  -- a group that a fail-over lost begins again where the receiver was
  redis.call('XGROUP', 'CREATE', events, group, progress and redis.call('HGET', receiver, 'place') or '$', 'MKSTREAM')
  redis.call('HSET', receivers, id, url)
  stream, of_group = stream_and_group(events, group)
  if not progress then
    redis.call('HSET', receiver, 'read', stream['entries-added'], 'place', of_group['last-delivered-id'])
  end
end
if not progress then
  return {'new', now}
end

local state = cjson.decode(progress)
if most == 0 or type(state['off_since']) == 'number' or state['due'] > now then
  return {'claimed', now, progress, 0, {}}
end
-- of what was handed out, what is behind every erased entry and is gone was cut off
local lost, entries = 0, {}
local pending = redis.call('XREADGROUP', 'GROUP', group, 'site', 'COUNT', most, 'STREAMS', events, '0')
for _, entry in ipairs(pending and pending[1][2] or {}) do
  if entry[2] or not is_before(stream['max-deleted-entry-id'], entry[1]) then
    entries[#entries + 1] = entry
  else
    redis.call('XACK', events, group, entry[1])
    lost = lost + 1
  end
end
if #entries > 0 then
  if lost > 0 then
    redis.call('HINCRBY', receiver, 'lost', lost)
  end
  return {'claimed', now, progress, lost, entries}
end

-- `read` counts the events up to the group's place as the stream itself counts them; of these `added - length` are gone
local added, read, first = stream['entries-added'], tonumber(known[3] or 0), stream['first-entry']
if first and is_before(of_group['last-delivered-id'], first[1]) and added - stream['length'] > read then
  lost = lost + added - stream['length'] - read
  read = added - stream['length']
end
local fresh = redis.call('XREADGROUP', 'GROUP', group, 'site', 'COUNT', most, 'STREAMS', events, '>')
entries = fresh and fresh[1][2] or {}
read = #entries < most and added or read + #entries
if read ~= tonumber(known[3] or -1) then
  redis.call('HSET', receiver, 'read', read)
end
if lost > 0 then
  redis.call('HINCRBY', receiver, 'lost', lost)
end
return {'claimed', now, progress, lost, entries}
