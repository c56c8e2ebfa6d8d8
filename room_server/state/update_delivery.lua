--[[
One step of one delivery: compare and write, and in the same step acknowledge its stream entry or schedule its next try.

KEYS  1 deliveries   2 outbox   3 due   4 fates   5 clock
ARGV  1 field   2 the record that must be stored   3 the new record ('' = no change)
      4 stream entry to acknowledge and delete ('' = none)   5 consumer group
      6 in how many ms it is due again ('' = never)   7 '1' = put it on the stream   8 webinar
Returns 1 when the new record is stored: now, or before, if the reply of the first try was lost; else the stored record
      (false: none), and nothing was done: the worker that changed it has scheduled its next try.
--]]
-- include steady.lua
local deliveries, outbox, due, fates, clock = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local field, expected, wanted, entry, group = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local again, wakes, webinar = ARGV[6], ARGV[7] == '1', ARGV[8]

local stored = redis.call('HGET', deliveries, field)
if stored ~= expected and stored ~= wanted then
  return stored
end
if wanted ~= '' and stored ~= wanted then
  redis.call('HSET', deliveries, field, wanted)
  redis.call('HINCRBY', fates, string.match(stored, '"status":"([a-z_]+)"'), -1)
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
