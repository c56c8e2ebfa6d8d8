--[[
Remove consumers of the outbox that have no pending entries: the one that ends, and those that are idle for long.
It is one step, because the pending entries of a removed consumer are lost: no other consumer could claim them.

KEYS  1 outbox
ARGV  1 consumer group   2 the consumer that ends ('' = none)   3 how long the others must have been idle, ms
Returns how many were removed.
--]]
local outbox = KEYS[1]
local group, ending, long = ARGV[1], ARGV[2], tonumber(ARGV[3])

local forgotten = 0
for _, told in ipairs(redis.call('XINFO', 'CONSUMERS', outbox, group)) do
  local known = {}
  for at = 1, #told, 2 do
    known[told[at]] = told[at + 1]
  end
  if known['pending'] == 0 and (known['name'] == ending or known['idle'] > long) then
    redis.call('XGROUP', 'DELCONSUMER', outbox, group, known['name'])
    forgotten = forgotten + 1
  end
end
return forgotten
