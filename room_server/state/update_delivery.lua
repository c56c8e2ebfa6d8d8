--[[
One step of one delivery: compare, write, and in the same step take it off the stream, or set its next time.

KEYS  1 deliveries   2 outbox   3 due   4 fates   5 clock
ARGV  1 field   2 the record that must stand   3 the new one ('' = as it is)
      4 stream entry to acknowledge and delete ('' = none)   5 consumer group
      6 in how many ms it is due again ('' = never)   7 '1' = put it on the stream   8 webinar
Returns 1 when it stands as wanted (now, or since a try whose reply was lost); else the record that stands (false: none),
      and nothing was done: whoever moved it on has set its next time.
--]]
-- include steady.lua
local deliveries, outbox, due, fates, clock = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local field, expected, wanted, entry, group = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local again, wakes, webinar = ARGV[6], ARGV[7] == '1', ARGV[8]

local standing = redis.call('HGET', deliveries, field)
if standing ~= expected and standing ~= wanted then
  return standing
end
if wanted ~= '' and standing ~= wanted then
  redis.call('HSET', deliveries, field, wanted)
  local before = string.match(standing, '"status":"([a-z_]+)"')
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
  redis.call('XACK', outbox, group, entry)
  redis.call('XDEL', outbox, entry)
end
return 1
