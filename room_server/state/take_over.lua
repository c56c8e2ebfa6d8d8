--[[
Gives pending entries of the outbox that were left alone for long to another consumer: their worker has died.

KEYS  1 outbox
ARGV  1 consumer group   2 the new consumer   3 after how many ms an entry counts as left alone   4 how many at most
Returns the entries: {id, {field, value, …}} each.
--]]
local outbox = KEYS[1]
local group, reader, left_alone, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local LOOKED_AT = 100

-- Redis counts idle time by its own clock. After that was set back, the idle time of earlier entries is 0 until it has
-- caught up, so it is counted from now on.
for _, pending in ipairs(redis.call('XPENDING', outbox, group, '-', '+', LOOKED_AT)) do
  local id, owner, idle = pending[1], pending[2], pending[3]
  if idle == 0 then
    redis.call('XCLAIM', outbox, group, owner, 0, id, 'IDLE', 0, 'JUSTID')
  end
end
return redis.call('XAUTOCLAIM', outbox, group, reader, left_alone, '0', 'COUNT', most)[2]
