--[[
Telegram demanded a pause: the chat gets no slot until then, and no chat does when several are in flood at once.

KEYS  1 the bot's next free slot   2 the chat's next free slot (both strings, Unix ms)
      3 chats in flood (sorted set: chat -> until when, Unix ms)   4 clock
ARGV  1 chat   2 how long, ms   3 how many chats in flood at once hold the whole bot
Returns 1 when the bot waits too, else 0.
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
redis.call('ZREMRANGEBYSCORE', floods, '-inf', now)
redis.call('ZADD', floods, 'GT', now + long, id)
local last = redis.call('ZREVRANGE', floods, 0, 0, 'WITHSCORES')[2]
redis.call('PEXPIRE', floods, string.format('%.0f', tonumber(last) - now + KEPT))
if redis.call('ZCARD', floods) < many then
  return 0
end
hold(bot)
return 1
