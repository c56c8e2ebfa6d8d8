--[[
Take replies of the bot that are due. Each comes back after the lease, unless it is removed or postponed before.

KEYS  1 replies_due   2 replies   3 clock
ARGV  1 how many at most   2 ms of the lease
Returns {name, record, how often it was taken, …}.
--]]
-- include steady.lua
local due, replies, clock = KEYS[1], KEYS[2], KEYS[3]
local most, lease = ARGV[1], tonumber(ARGV[2])

if redis.call('EXISTS', due) == 0 then
  return {}
end
local now, taken = steady(clock), {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', string.format('%.0f', now), 'LIMIT', 0, most)) do
  local record = redis.call('HGET', replies, name)
  if record then
    redis.call('ZADD', due, string.format('%.0f', now + lease), name)
    taken[#taken + 1] = name
    taken[#taken + 1] = record
    taken[#taken + 1] = redis.call('HINCRBY', replies, name .. ' tries', 1)
  else
    redis.call('ZREM', due, name)
  end
end
return taken
