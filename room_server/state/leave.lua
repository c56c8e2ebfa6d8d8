--[[
Removes consumers of the outbox without pending entries: one that ends, and those idle for long. It is one step, since a
consumer's pending entries are lost with it.

KEYS  1 outbox
ARGV  1 consumer group   2 the consumer that ends ('' = none)   3 how long the others must be idle, ms
Returns how many were removed.
--]]
local outbox = KEYS[1]
local group, ending, long = ARGV[1], ARGV[2], tonumber(ARGV[3])

local removed = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', outbox, group)) do
  local known = {}
  for at = 1, #consumer, 2 do
    known[consumer[at]] = consumer[at + 1]
  end
  if known['pending'] == 0 and (known['name'] == ending or known['idle'] > long) then
    redis.call('XGROUP', 'DELCONSUMER', outbox, group, known['name'])
    removed = removed + 1
  end
end
return removed
