--[[
Entries of the outbox whose consumer has not acknowledged them for long go to another consumer: the first one is dead.

KEYS  1 outbox
ARGV  1 consumer group   2 the new consumer   3 after how many ms an entry is taken over   4 how many at most
Returns the entries: {id, {field, value, …}} each.
--]]
local outbox = KEYS[1]
local group, reader, left_alone, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local LOOKED_AT = 100

-- Redis' clock gives the idle time of an entry. After the clock was set back, entries that were read before have an
-- idle time of 0 until it has caught up; claiming them for their own consumer makes their idle time start now.
for _, pending in ipairs(redis.call('XPENDING', outbox, group, '-', '+', LOOKED_AT)) do
  local id, owner, idle = pending[1], pending[2], pending[3]
  if idle == 0 then
    redis.call('XCLAIM', outbox, group, owner, 0, id, 'IDLE', 0, 'JUSTID')
  end
end
return redis.call('XAUTOCLAIM', outbox, group, reader, left_alone, '0', 'COUNT', most)[2]
