--[[
Entries of the outbox that their readers have left alone for long get another reader: those who had them are dead.

KEYS  1 outbox
ARGV  1 consumer group   2 the new reader   3 after how many ms an entry counts as left alone   4 how many at most
Returns the entries: {id, {field, value, …}} each.
--]]
local outbox = KEYS[1]
local group, reader, left_alone, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local LOOKED_AT = 100

-- Redis' clock says for how long an entry was left alone. When it was set back, entries that were taken before would
-- seem to have been taken just now until it has caught up; from here on their time counts.
for _, pending in ipairs(redis.call('XPENDING', outbox, group, '-', '+', LOOKED_AT)) do
  local id, owner, idle = pending[1], pending[2], pending[3]
  if idle == 0 then
    redis.call('XCLAIM', outbox, group, owner, 0, id, 'IDLE', 0, 'JUSTID')
  end
end
return redis.call('XAUTOCLAIM', outbox, group, reader, left_alone, '0', 'COUNT', most)[2]
