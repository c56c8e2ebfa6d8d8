--[[
An entry of the outbox that no sender can use leaves the stream. It is kept to look at, unless it is about a lead that
was forgotten: then nothing is to be kept of it.

KEYS  1 poison   2 outbox   3 forgotten
ARGV  1 consumer group   2 id of the entry   3 webinar   4 field of `deliveries`   5 why it cannot be used
      6 how many are kept
Returns 1 when it is kept (now, or before: the reply of a first try was lost), 0 when it is not.
--]]
local poison, outbox, forgotten = KEYS[1], KEYS[2], KEYS[3]
local group, id, webinar, field, why, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local lead = string.match(field, '^(%d+):') or ''
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function is_forgotten(member)
  return tonumber(redis.call('ZSCORE', forgotten, member) or 0) > now
end
local kept = 1
if lead ~= '' and (is_forgotten(lead) or is_forgotten(lead .. ' ' .. webinar)) then
  kept = 0
end
redis.call('XACK', outbox, group, id)
if redis.call('XDEL', outbox, id) == 1 and kept == 1 then
  redis.call('XADD', poison, 'MAXLEN', most, '*', 'webinar', webinar, 'field', field, 'error', why)
end
return kept
