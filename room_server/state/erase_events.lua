--[[
Erase events. Those that a receiver was not handed yet, or refused, are counted for it as erased: they are not lost.

KEYS  1 events   2… of each receiver: receiver, parked
ARGV  1 how many receivers   2… their consumer groups   then the stream ids of the events
Returns how many events were deleted.
--]]
-- include stream_group.lua
local events = KEYS[1]
local receivers = tonumber(ARGV[1])

local places = {}
for at = 1, receivers do
  local _, of_group = stream_and_group(events, ARGV[1 + at])
  local place = redis.call('HGET', KEYS[2 * at], 'place') -- none of one that is just being forgotten
  places[at] = place and of_group and of_group['last-delivered-id'] or place
end
local deleted = 0
for at = receivers + 2, #ARGV do
  local is_deleted = redis.call('XDEL', events, ARGV[at]) == 1
  deleted = deleted + (is_deleted and 1 or 0)
  for number, place in ipairs(places) do
    local receiver, parked = KEYS[2 * number], KEYS[2 * number + 1]
    local is_waiting = place and is_deleted and is_before(place, ARGV[at])
    if is_waiting then
      redis.call('HINCRBY', receiver, 'read', 1)
    end
    local was_parked = redis.call('HDEL', parked, ARGV[at]) == 1
    if place and (was_parked or is_waiting) then
      redis.call('HINCRBY', receiver, 'erased', 1)
    end
  end
end
return deleted
