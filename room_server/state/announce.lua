--[[
A process says that it lives, by Redis' clock: what its own clock says does not matter.

KEYS  1 nodes   2 words
ARGV  1 node   2 its word   3 how long a word holds, ms
Returns how many processes are living in this partition.
--]]
local nodes, words = KEYS[1], KEYS[2]
local node, word, holds = ARGV[1], ARGV[2], tonumber(ARGV[3])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', nodes, '-inf', now - holds)) do
  redis.call('ZREM', nodes, gone)
  redis.call('HDEL', words, gone)
end
-- Redis' clock was set back: whoever was heard of after now holds from now on, or the dead would live until then
for _, later in ipairs(redis.call('ZRANGEBYSCORE', nodes, '(' .. now, '+inf')) do
  redis.call('ZADD', nodes, now, later)
end
redis.call('ZADD', nodes, now, node)
redis.call('HSET', words, node, word)
redis.call('PEXPIRE', nodes, holds)
redis.call('PEXPIRE', words, holds)
return redis.call('ZCARD', nodes)
