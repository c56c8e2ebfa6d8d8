--[[
A clock that does not go back. Redis' own clock may be set back, by NTP or by a fail-over to a host whose clock is
behind; then everything that is scheduled by it would be late by that much. This clock continues from where it was.

This file is no script of its own: a script with a line `-- include steady.lua` has it, and the hash among its KEYS.
clock    hash: `seen`, the latest time of Redis' clock; `back`, by how much it was set back in all (both ms)
Returns  Unix ms, ahead of Redis' clock by `back`. It never goes back by more than STEP.
--]]
local function steady(clock)
  local STEP = 100 -- ms between two writes of the hash

  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local known = redis.call('HMGET', clock, 'seen', 'back')
  local seen, back = tonumber(known[1] or 0), tonumber(known[2] or 0)
  if now < seen then
    back = back + seen - now
  end
  if now < seen or now >= seen + STEP then
    redis.call('HSET', clock, 'seen', string.format('%.0f', now), 'back', string.format('%.0f', back))
  end
  return now + back
end
