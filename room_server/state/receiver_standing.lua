--[[
How far a receiver is in a partition.

KEYS  1 events   2 receiver   3 parked   4 clock
ARGV  1 consumer group   2 up to how many waiting events are counted; beyond it is what the stream's own counter says
Returns {now (ms by the clock), progress (false: none), place, lost, erased, parked, waiting, age of the oldest waiting one
         (ms)}.
--]]
-- include steady.lua
-- include stream_group.lua
local events, receiver, parked, clock = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, counted = ARGV[1], tonumber(ARGV[2])

local known = redis.call('HMGET', receiver, 'progress', 'place', 'lost', 'read', 'erased')
local stream, of_group = stream_and_group(events, group)
local waiting, oldest = 0, nil
if of_group then
  local behind = redis.call('XRANGE', events, '(' .. of_group['last-delivered-id'], '+', 'COUNT', counted + 1)
  waiting = #behind
  if waiting > counted then
    waiting = math.max(waiting, stream['entries-added'] - tonumber(known[4] or 0))
  end
  oldest = behind[1] and behind[1][1]
  local pending = redis.call('XPENDING', events, group)
  waiting = waiting + pending[1]
  oldest = pending[1] > 0 and pending[2] or oldest
end
local time = redis.call('TIME')
local age = oldest and math.max(0, time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(string.match(oldest, '^%d+'))) or 0
return {
  steady(clock), known[1], known[2] or '', tonumber(known[3] or 0), tonumber(known[5] or 0), redis.call('HLEN', parked),
  waiting, age,
}
