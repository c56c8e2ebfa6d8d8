--[[
A reply of the bot is sent later, or never.

KEYS  1 replies_due   2 replies   3 clock
ARGV  1 the reply's name   2 in how many ms ('' = never: it is over)   3 '1' = that it was taken does not count as a try
--]]
-- include steady.lua
local due, replies, clock = KEYS[1], KEYS[2], KEYS[3]
local name, again, uncounted = ARGV[1], ARGV[2], ARGV[3] == '1'

if again == '' then
  redis.call('HDEL', replies, name, name .. ' tries')
  redis.call('ZREM', due, name)
  return 0
end
if redis.call('HEXISTS', replies, name) == 0 then
  return 0
end
if uncounted then
  redis.call('HINCRBY', replies, name .. ' tries', -1)
end
redis.call('ZADD', due, string.format('%.0f', steady(clock) + tonumber(again)), name)
return 1
