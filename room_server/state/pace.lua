--[[
Grants the next send slot of a chat: evenly spaced for the bot and for each chat, by one clock in Redis.

KEYS  1 the bot's next free slot   2 the chat's next free slot   3 the end of the chat's queue, after the places of all
      that wait (strings, Unix ms)   4 clock
ARGV  1 ms between two messages of the bot   2 ms between two messages to a chat
      3 how many ms ahead a slot of the bot may be granted   4 ms to wait when it is unknown what was granted
Returns {'go', ms until the slot, which is taken} | {'chat', ms} | {'bot', ms}: nothing is taken, ask again then.
--]]
-- include steady.lua
local bot, chat, queue, clock = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local bot_gap, chat_gap, horizon, unknown = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
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
  -- nothing was sent for a while, or a fail-over lost the slots: by then the last that may be granted has passed
  bot_free = now + unknown
  horizon = unknown
end
if chat_free > bot_free then
  local wait = chat_free - now
  if wait > chat_gap / 2 then -- a place for each, or all that wait would come back at the same time, again and again
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
