--[[
The stream entries of forgotten leads are erased: they leave the queue, unless they were queued again meanwhile.

KEYS  1 erasures
ARGV  pairs: the member, and the time up to which entries were erased, Unix ms
Returns how many left the queue.
--]]
local erasures = KEYS[1]

local left = 0
for at = 1, #ARGV, 2 do
  local queued = redis.call('ZSCORE', erasures, ARGV[at])
  if queued and tonumber(queued) <= tonumber(ARGV[at + 1]) then
    left = left + redis.call('ZREM', erasures, ARGV[at])
  end
end
return left
