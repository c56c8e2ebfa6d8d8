--[[
The next moment at which a message may go to a chat: evenly spaced for the bot and for each chat, by one clock in Redis.

KEYS  1 the bot's next free moment   2 the chat's next free moment   3 the end of the queue for the chat (strings, Unix
      ms)   4 clock
ARGV  1 ms between two messages of the bot   2 ms between two messages to a chat
      3 ms to wait for the bot's moment at most
      4 '1' = the chat's moment was taken before and has passed: it moves to the bot's next one
Returns {'go', ms until the moment, which is taken} | {'chat', ms} | {'bot', ms}: nothing was taken, ask again then.
--]]
-- include steady.lua
local bot, chat, queue, clock = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local bot_gap, chat_gap, horizon, passed = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local KEPT = 60000

local now = steady(clock)
local function free_at(key)
  return math.max(tonumber(redis.call('GET', key) or 0), now)
end
local function take(key, moment)
  redis.call('SET', key, string.format('%.0f', moment), 'PX', string.format('%.0f', moment - now + KEPT))
end

local chat_free, bot_free = free_at(chat), free_at(bot)
if redis.call('EXISTS', bot) == 0 then
  -- nothing was sent for a while, or a fail-over lost the key: wait until any message that was granted has gone out
  bot_free = now + math.max(horizon + bot_gap, chat_gap)
  horizon = bot_free - now
end
if chat_free > bot_free and not passed then
  local wait = chat_free - now
  if wait > chat_gap / 2 then -- each waiting caller gets its own place in the queue, or all would come back at once
    local place = math.max(tonumber(redis.call('GET', queue) or 0), chat_free)
    take(queue, place + chat_gap)
    wait = place - now
  end
  return {'chat', wait}
end
if bot_free - now > horizon then
  return {'bot', bot_free - now}
end
take(bot, bot_free + bot_gap)
take(chat, math.max(chat_free, bot_free + chat_gap))
return {'go', bot_free - now}
