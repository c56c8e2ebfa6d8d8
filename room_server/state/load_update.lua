--[[
What is stored of those whom an update of the bot is about.

KEYS  1 the update   2 bindings   3 chats   4 forgotten
ARGV  1 the person ('' = nobody)   2 the lead's id, if the person is one   3 the chat of the update
Returns {'seen'}: the update counts already
      | {'new', binding or false, 1 if the lead was forgotten a short time ago, else 0,
         chat, record or false, …: that of the update, the one that is bound and the one that wants to be}.
--]]
local seen, bindings, chats, forgotten = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local person, lead, chat = ARGV[1], ARGV[2], ARGV[3]

if redis.call('EXISTS', seen) == 1 then
  return {'seen'}
end
local names, known = {chat}, {[chat] = true}
local function name(id)
  local text = string.format('%.0f', id)
  if not known[text] then
    known[text] = true
    names[#names + 1] = text
  end
end

local binding = person ~= '' and redis.call('HGET', bindings, person)
local readable, bound = pcall(cjson.decode, binding or '')
if readable and type(bound) == 'table' then
  name(bound.chat_id)
  if bound.takeover then
    name(bound.takeover.chat_id)
  end
end
local ends = lead ~= '' and redis.call('ZSCORE', forgotten, lead)
local reply = {'new', binding, ends and tonumber(ends) > tonumber(redis.call('TIME')[1]) * 1000 and 1 or 0}
for _, one in ipairs(names) do
  reply[#reply + 1] = one
  reply[#reply + 1] = redis.call('HGET', chats, one)
end
return reply
