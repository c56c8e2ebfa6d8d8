--[[
Unbind a person: the binding goes, and so does what is known of its chat, unless the chat is somebody else's, too.

KEYS  1 bindings   2 chats   3 forgotten (sorted set: lead -> until when no update binds it again, Unix ms)
ARGV  1 the person   2 the lead's id, if it is to stay unbound ('' = no)   3 for how many seconds
Returns how many bindings were deleted.
--]]
local bindings, chats, forgotten = KEYS[1], KEYS[2], KEYS[3]
local person, lead, seconds = ARGV[1], ARGV[2], tonumber(ARGV[3])

if lead ~= '' then
  local now = tonumber(redis.call('TIME')[1])
  redis.call('ZREMRANGEBYSCORE', forgotten, '-inf', string.format('%.0f', now * 1000))
  redis.call('ZADD', forgotten, string.format('%.0f', (now + seconds) * 1000), lead)
  redis.call('EXPIRE', forgotten, seconds)
end

local binding = redis.call('HGET', bindings, person)
if not binding then
  return 0
end
local readable, bound = pcall(cjson.decode, binding)
local id = readable and string.format('%.0f', bound.chat_id)
local record = id and redis.call('HGET', chats, id)
if record then
  local chat, others = cjson.decode(record), {}
  for _, name in ipairs(chat.people or {}) do
    if name ~= person then
      others[#others + 1] = name
    end
  end
  if #others == 0 then
    redis.call('HDEL', chats, id)
  else
    chat.people = others
    redis.call('HSET', chats, id, cjson.encode(chat))
  end
end
return redis.call('HDEL', bindings, person)
