--[[
A lease that one process holds at a time, taken or prolonged.

KEYS  1 the lease
ARGV  1 who wants it   2 ms that it lasts
Returns 1 when that one holds it now, else 0.
--]]
local lease = KEYS[1]
local owner, lasts = ARGV[1], ARGV[2]

local holder = redis.call('GET', lease)
if holder and holder ~= owner then
  return 0
end
redis.call('SET', lease, owner, 'PX', lasts)
return 1
