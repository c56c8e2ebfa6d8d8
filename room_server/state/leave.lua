--[[
Readers of the outbox that have nothing in hand are forgotten: one that ends, and those that were not heard of for long.
In one step, since what a reader has in hand is lost with it: nobody would ever look at that entry again.

KEYS  1 outbox
ARGV  1 consumer group   2 the reader that ends ('' = none)   3 how long the others were not heard of, ms
Returns how many were forgotten.
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
