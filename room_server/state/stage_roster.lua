--[[
Store a part of a roster that is being imported, with a time to live.

KEYS  1 staged
ARGV  1 seconds that it is kept   2… pairs: lead, entry; or '=' and a lead, the entry that it was made of
Returns how many fields are staged by now.
--]]
local staged = KEYS[1]
local keep = tonumber(ARGV[1])

redis.call('HSET', staged, unpack(ARGV, 2))
redis.call('EXPIRE', staged, keep)
return redis.call('HLEN', staged)
