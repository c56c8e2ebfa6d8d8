--[[
A clock for what waits. Redis' own clock may be set back, by a step of NTP or by a fail-over to a host that is behind;
then all that waits for a moment would wait for the same time once more. This one goes on from where it was.

It is no script: one that needs it says `-- include steady.lua` and has the hash among its KEYS.
clock    hash: `seen`, the latest that Redis' clock said; `back`, by how much it was set back until now (both ms)
Returns  Unix ms, ahead of Redis' clock by `back`. It never goes back by more than STEP.
--]]
local function steady(clock)
  local STEP = 100 -- so often it is written, in ms

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
