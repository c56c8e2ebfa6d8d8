--[[
A process reports that it is running; the time is that of Redis, since the clocks of hosts may differ.

KEYS  1 nodes   2 reports (Keys.reports)
ARGV  1 node   2 its report   3 time to live of a report, ms
Returns how many processes have a report in this partition.
--]]
local nodes, words = KEYS[1], KEYS[2]
local node, word, holds = ARGV[1], ARGV[2], tonumber(ARGV[3])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', nodes, '-inf', now - holds)) do
  redis.call('ZREM', nodes, gone)
  redis.call('HDEL', words, gone)
end
-- Redis' clock was set back: times after now become now, or reports of dead processes would not expire until then
for _, later in ipairs(redis.call('ZRANGEBYSCORE', nodes, '(' .. now, '+inf')) do
  redis.call('ZADD', nodes, now, later)
end
redis.call('ZADD', nodes, now, node)
redis.call('HSET', words, node, word)
redis.call('PEXPIRE', nodes, holds)
redis.call('PEXPIRE', words, holds)
return redis.call('ZCARD', nodes)
