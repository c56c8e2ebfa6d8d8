--[[
Leads are taken off a roster, with their short links. Who has entered stays.

KEYS  1 done   2 room   3 roster   4 participations   5 links
ARGV  1 seconds that `done` is kept   2… leads
Returns {how many were removed, the removed leads…, the leads that stay because they have entered…}, now, or before, if
        the reply of the first try was lost
      | {'unknown'}: there is no such webinar.
--]]
local done, room, roster, participations, links = unpack(KEYS)
local keep = tonumber(ARGV[1])

local answered = redis.call('GET', done)
if answered then
  return cmsgpack.unpack(answered)
end
if redis.call('EXISTS', room) == 0 then
  return {'unknown'}
end
local function is_set(value)
  return value ~= nil and value ~= cjson.null
end
local removed, kept = {}, {}
for at = 2, #ARGV do
  local lead = ARGV[at]
  local record = redis.call('HGET', participations, lead)
  local readable, fields = pcall(cjson.decode, record or '{}')
  if record and (not readable or is_set(fields['entered_at'])) then
    kept[#kept + 1] = lead
  elseif redis.call('HDEL', roster, lead) == 1 then
    removed[#removed + 1] = lead
    for digest in string.gmatch(redis.call('HGET', links, 'lead:' .. lead) or '', '%S+') do
      redis.call('HDEL', links, digest)
    end
    redis.call('HDEL', links, 'lead:' .. lead)
    if record and not is_set(fields['attended']) then
      redis.call('HDEL', participations, lead) -- it only clicked: nobody evaluates it any more
    end
  end
end
local reply = {#removed}
for _, list in ipairs({removed, kept}) do
  for _, lead in ipairs(list) do
    reply[#reply + 1] = lead
  end
end
redis.call('SET', done, cmsgpack.pack(reply), 'EX', keep)
return reply
