--[[
Remove consumers of the outbox that have no pending entries: the one that ends, and those that are idle for long.
It is one step, because the pending entries of a removed consumer are lost: no other consumer could claim them.

KEYS  1 outbox
ARGV  1 consumer group   2 the consumer that ends ('' = none)   3 how long the others must have been idle, ms
Returns how many were removed.
--]]
local outbox = KEYS[1]
local group, ending, long = ARGV[1], ARGV[2], tonumber(ARGV[3])

local removed = 0
for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', outbox, group)) do
  local consumer = {}
  for at = 1, #row, 2 do
    consumer[row[at]] = row[at + 1]
  end
  if consumer['pending'] == 0 and (consumer['name'] == ending or consumer['idle'] > long) then
    redis.call('XGROUP', 'DELCONSUMER', outbox, group, consumer['name'])
    removed = removed + 1
  end
end
return removed
