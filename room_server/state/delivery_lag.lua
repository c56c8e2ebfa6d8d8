--[[
How long the message of a partition that has been due for longest has waited.

KEYS  1 outbox   2 due   3 clock   4 urgent
Returns ms; 0 or less when none is late.
--]]
-- include steady.lua
local outbox, due, clock, urgent = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local now = steady(clock)
local first = now
for _, stream in ipairs({outbox, urgent}) do
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)) do
    local fields = {}
    for at = 1, #entry[2], 2 do
      fields[entry[2][at]] = entry[2][at + 1]
    end
    first = math.min(first, tonumber(fields['at'] or string.match(entry[1], '%d+')))
  end
end
local waiting = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
return now - math.min(first, tonumber(waiting[2] or now))
