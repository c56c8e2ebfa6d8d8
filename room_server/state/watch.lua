--[[
Add slots to the bitmaps of leads. Slots are only ever added, so a repeat changes nothing.

KEYS  1 watch   2 room   3 forgotten
ARGV  1 webinar   2 when the broadcast went live, as the room's public text has it
      3 lead, first slot, last slot, lead, first slot, … (msgpack); a lead may come more than once
Returns 1 | 0: the webinar is gone, or is another broadcast, and nothing was stored.
--]]
local watch, room, forgotten = KEYS[1], KEYS[2], KEYS[3]
local webinar, started_at, numbers = ARGV[1], ARGV[2], cmsgpack.unpack(ARGV[3])

local public = redis.call('HGET', room, 'public')
if not public or cjson.decode(public)['started_at'] ~= started_at then
  return 0
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local any_forgotten = redis.call('EXISTS', forgotten) == 1
local function is_forgotten(lead)
  for _, member in ipairs({lead, lead .. ' ' .. webinar}) do
    if tonumber(redis.call('ZSCORE', forgotten, member) or 0) > now then
      return true
    end
  end
  return false
end

local function with_slots(bitmap, first, last)
  local from, to, changed = math.floor(first / 8), math.floor(last / 8), {}
  for at = from, to do
    local byte = string.byte(bitmap, at + 1) or 0
    for slot = math.max(first, at * 8), math.min(last, at * 8 + 7) do
      byte = bit.bor(byte, bit.lshift(1, slot % 8))
    end
    changed[#changed + 1] = string.char(byte)
  end
  local before = string.sub(bitmap, 1, from)
  return before .. string.rep('\0', from - #before) .. table.concat(changed) .. string.sub(bitmap, to + 2)
end

for at = 1, #numbers, 3 do
  local lead = string.format('%.0f', numbers[at])
  if not (any_forgotten and is_forgotten(lead)) then
    local bitmap = redis.call('HGET', watch, lead) or ''
    local more = with_slots(bitmap, numbers[at + 1], numbers[at + 2])
    if more ~= bitmap then
      redis.call('HSET', watch, lead, more)
    end
  end
end
return 1
