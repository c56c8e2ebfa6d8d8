--[[
The next moment at which a message may go to a chat: evenly spaced for the bot, and for each chat, by Redis's clock.

KEYS  1 the bot's next free moment   2 the chat's next free moment (both strings, Unix ms)
ARGV  1 ms between two messages of the bot   2 ms between two messages to a chat
      3 ms to wait for the bot's moment at most   4 ms to keep the chat ('' = ask for a moment; else hold it so long)
      5 '1' = hold the bot as long
Returns {'go', ms until the moment, which is taken} | {'chat', ms} | {'bot', ms}: nothing was taken, ask again then.
--]]
local bot, chat = KEYS[1], KEYS[2]
local bot_gap, chat_gap, horizon = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local hold, holds_bot = ARGV[4], ARGV[5] == '1'
local KEPT = 60000

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function free_at(key)
  return math.max(tonumber(redis.call('GET', key) or 0), now)
end
local function take(key, moment)
  redis.call('SET', key, string.format('%.0f', moment), 'PX', string.format('%.0f', moment - now + KEPT))
end

if hold ~= '' then
  take(chat, math.max(free_at(chat), now + tonumber(hold)))
  if holds_bot then
    take(bot, math.max(free_at(bot), now + tonumber(hold)))
  end
  return {'go', 0}
end
local chat_free, bot_free = free_at(chat), free_at(bot)
if redis.call('EXISTS', bot) == 0 then
  bot_free = now + bot_gap -- a failover may have lost what was sent a moment ago
end
if chat_free > bot_free then
  return {'chat', chat_free - now}
end
if bot_free - now > horizon then
  return {'bot', bot_free - now}
end
take(bot, bot_free + bot_gap)
take(chat, bot_free + chat_gap)
return {'go', bot_free - now}
