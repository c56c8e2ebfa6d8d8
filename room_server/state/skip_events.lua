--[[
A receiver goes on with what comes from now on: nothing that is in the stream is sent to it.

KEYS  1 events   2 receiver   3 parked
ARGV  1 consumer group
Returns how many events are left out; those that are parked are not among them.
--]]
-- include stream_group.lua
local events, receiver = KEYS[1], KEYS[2]
local group = ARGV[1]
local BATCH = 1000

local stream, of_group = stream_and_group(events, group)
if not of_group then
  return 0
end
local left_out = math.max(0, stream['entries-added'] - tonumber(redis.call('HGET', receiver, 'read') or 0))
redis.call('XGROUP', 'SETID', events, group, '$')
repeat
  local pending = redis.call('XPENDING', events, group, '-', '+', BATCH)
  for _, one in ipairs(pending) do
    redis.call('XACK', events, group, one[1])
  end
  left_out = left_out + #pending
until #pending < BATCH
redis.call('HSET', receiver, 'read', stream['entries-added'], 'place', stream['last-generated-id'])
return left_out
