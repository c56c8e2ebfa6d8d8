--[[
Updates one delivery: compares the record, writes the new one, and takes it off the stream or sets when it is due.

KEYS  1 deliveries   2 the message's stream   3 due   4 fates   5 clock   6 the stream of the entry
ARGV  1 field   2 the record that is expected   3 the new one ('' = as it is)
      4 stream entry to acknowledge and delete ('' = none)   5 consumer group
      6 in how many ms it is due again ('' = never)   7 '1' = put it on the stream   8 webinar
Returns 1 when the record is the new one (also when it was before: the reply of a first try was lost); else the present
      record (false: none), and nothing is done: whoever changed it has set when it is due.
--]]
-- include steady.lua
local deliveries, outbox, due, fates, clock, stream = unpack(KEYS)
local field, expected, wanted, entry, group = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local again, wakes, webinar = ARGV[6], ARGV[7] == '1', ARGV[8]

local current = redis.call('HGET', deliveries, field)
if current ~= expected and current ~= wanted then
  return current
end
if wanted ~= '' and current ~= wanted then
  redis.call('HSET', deliveries, field, wanted)
  local before = string.match(current, '"status":"([a-z_]+)"')
  if before then -- none in a record that cannot be read
    redis.call('HINCRBY', fates, before, -1)
  end
  redis.call('HINCRBY', fates, string.match(wanted, '"status":"([a-z_]+)"'), 1)
  if wakes then
    redis.call('XADD', outbox, '*', 'webinar', webinar, 'field', field, 'at', string.format('%.0f', steady(clock)))
  end
end
if again ~= '' then
  redis.call('ZADD', due, string.format('%.0f', steady(clock) + tonumber(again)), webinar .. ' ' .. field)
end
if entry ~= '' then
  redis.call('XACK', stream, group, entry)
  redis.call('XDEL', stream, entry)
end
return 1
