--[[
Telegram said to wait: hold the chat, and the whole bot when it is one of many such private chats.

KEYS  1 the bot's next free moment   2 the chat's next free moment (both strings, Unix ms)
      3 private chats in flood (sorted set: chat -> until when, Unix ms)   4 clock
ARGV  1 chat   2 how long, ms   3 how many private chats in flood at once mean that the bot is in flood
      4 1 for a group, which has a limit of its own, else 0
Returns 1 when the bot is held, too, else 0.
--]]
-- include steady.lua
local bot, chat, floods, clock = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, long, many = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local KEPT = 60000

local now = steady(clock)
local function hold(key)
  local moment = math.max(tonumber(redis.call('GET', key) or 0), now + long)
  redis.call('SET', key, string.format('%.0f', moment), 'PX', string.format('%.0f', moment - now + KEPT))
end

hold(chat)
if tonumber(ARGV[4]) == 1 then
  return 0
end
redis.call('ZREMRANGEBYSCORE', floods, '-inf', now)
redis.call('ZADD', floods, 'GT', now + long, id)
local last = redis.call('ZREVRANGE', floods, 0, 0, 'WITHSCORES')[2]
redis.call('PEXPIRE', floods, string.format('%.0f', tonumber(last) - now + KEPT))
if redis.call('ZCARD', floods) < many then
  return 0
end
hold(bot)
return 1
