--[[
What follows from one update of the bot, all or nothing: compare, write, queue the replies. Each update counts once.

KEYS  1 the update   2 bindings   3 chats   4 forgotten   5 replies   6 replies_due   7 clock   8 bound
      9 how many replies the update's chat asked for in this minute
ARGV  1 seconds that the update is kept   2 what follows, msgpack (see state.connections.Written)
      3 most replies that wait   4 most replies that a chat may ask for in a minute
Returns {'done', how many replies were left out because there are too many}: now, or before
      | {'conflict'}: a record has changed since it was loaded; nothing is written.
--]]
-- include steady.lua
local seen, bindings, chats, forgotten, replies, due, clock, bound, asked = unpack(KEYS)
local keep, written, most, each = tonumber(ARGV[1]), cmsgpack.unpack(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local MINUTE = 60
local place = {bindings = bindings, chats = chats}

if redis.call('EXISTS', seen) == 1 then
  return {'done', 0}
end
for _, record in ipairs(written.expected) do
  if (redis.call('HGET', place[record.kind], record.name) or '') ~= record.text then
    return {'conflict'}
  end
end
local ends = written.lead ~= '' and redis.call('ZSCORE', forgotten, written.lead)
if ends and tonumber(ends) > tonumber(redis.call('TIME')[1]) * 1000 and not written.is_forgotten then
  return {'conflict'}
end

redis.call('SET', seen, '1', 'EX', keep)
for _, record in ipairs(written.records) do
  redis.call('HSET', place[record.kind], record.name, record.text)
end
if written.is_bound then
  redis.call('INCR', bound)
end
if #written.replies == 0 then
  return {'done', 0}
end
local count = redis.call('INCR', asked)
if count == 1 then
  redis.call('EXPIRE', asked, MINUTE)
end
if count > each or redis.call('HLEN', replies) + #written.replies > most then
  return {'done', #written.replies}
end
local now = string.format('%.0f', steady(clock))
for _, reply in ipairs(written.replies) do
  redis.call('HSET', replies, reply.name, reply.text)
  redis.call('ZADD', due, now, reply.name)
end
return {'done', 0}
