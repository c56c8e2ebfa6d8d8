--[[
A receiver is switched on again, and what was parked is handed out again before all else.

KEYS  1 events   2 receiver   3 parked
ARGV  1 consumer group   2 the progress that is expected   3 the new one
Returns {1, how many events are handed out again}; {0, 0} when the progress is another one, and nothing is done.
--]]
local events, receiver, parked = KEYS[1], KEYS[2], KEYS[3]
local group, expected, wanted = ARGV[1], ARGV[2], ARGV[3]

local current = redis.call('HGET', receiver, 'progress')
if current ~= expected and current ~= wanted then
  return {0, 0}
end
redis.call('HSET', receiver, 'progress', wanted)
local again = 0
for _, id in ipairs(redis.call('HKEYS', parked)) do
  again = again + #redis.call('XCLAIM', events, group, 'site', 0, id, 'FORCE', 'JUSTID')
end
redis.call('UNLINK', parked)
return {1, again}
