--[[
Replace or delete a field of a hash, unless it has changed since it was read.

KEYS  1 the hash
ARGV  1 field   2 the value that is expected   3 the new one ('' = delete)
Returns 1 when it was done, else 0.
--]]
local hash = KEYS[1]
local field, expected, wanted = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HGET', hash, field) ~= expected then
  return 0
end
if wanted == '' then
  return redis.call('HDEL', hash, field)
end
redis.call('HSET', hash, field, wanted)
return 1
