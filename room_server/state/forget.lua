--[[
Delete everything that one webinar has of one lead, in one step: no waiting message is sent, and the counters stay
right.

KEYS  1 done   2 room   3 roster   4 participations   5 deliveries   6 tally   7 links   8 fates   9 due   10 watch
ARGV  1 seconds that `done` is kept   2 webinar   3 lead   4… fields of deliveries that may be the lead's
Returns {'forgotten', roster entries, participations, messages}: how many were deleted, now, or before, if the reply of
        the first try was lost
      | {'running'}: the webinar is live or paused and has the lead; nothing was deleted
      | {'sending'}: a message is just being sent; nothing was deleted.
--]]
local done, room, roster, participations = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local deliveries, tally, links, fates, due, watch = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local keep, webinar, lead = tonumber(ARGV[1]), ARGV[2], ARGV[3]

local answered = redis.call('GET', done)
if answered then
  local listed, known, messages = string.match(answered, '(%d+) (%d+) (%d+)')
  return {'forgotten', tonumber(listed), tonumber(known), tonumber(messages)}
end

local participation = redis.call('HGET', participations, lead)
local public = redis.call('HGET', room, 'public')
local status = public and cjson.decode(public)['status']
local is_known = participation or redis.call('HEXISTS', roster, lead) == 1 or redis.call('HEXISTS', watch, lead) == 1
if (status == 'live' or status == 'paused') and is_known then
  return {'running'}
end
local found = {}
for at = 4, #ARGV do
  local record = redis.call('HGET', deliveries, ARGV[at])
  found[ARGV[at]] = record and (string.match(record, '"status":"([a-z_]+)"') or '')
  if found[ARGV[at]] == 'sending' then
    return {'sending'}
  end
end

for digest in string.gmatch(redis.call('HGET', links, 'lead:' .. lead) or '', '%S+') do
  redis.call('HDEL', links, digest)
end
redis.call('HDEL', links, 'lead:' .. lead)
redis.call('HDEL', watch, lead)
local messages = 0
for field, fate in pairs(found) do
  if fate then
    redis.call('HDEL', deliveries, field)
    redis.call('ZREM', due, webinar .. ' ' .. field)
    if fate ~= '' then
      redis.call('HINCRBY', fates, fate, -1)
    end
    messages = messages + 1
  end
end
if participation then
  local readable, fields = pcall(cjson.decode, participation)
  fields = readable and fields or {}
  local classified = fields['attended'] ~= nil and fields['attended'] ~= cjson.null
  for counter, counted in pairs({
    entered = fields['entered_at'] ~= nil, classified = classified,
    attended = fields['attended'] == true, clicked = fields['cta_clicked_at'] ~= nil,
  }) do
    if counted then
      redis.call('HINCRBY', tally, counter, -1)
    end
  end
  redis.call('HDEL', participations, lead)
end
local listed, known = redis.call('HDEL', roster, lead), participation and 1 or 0
redis.call('SET', done, string.format('%d %d %d', listed, known, messages), 'EX', keep)
return {'forgotten', listed, known, messages}
