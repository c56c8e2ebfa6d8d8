--[[
A process reports that it is running; the time is that of Redis, since the clocks of hosts may differ.

KEYS  1 nodes   2 reports (Keys.reports)
ARGV  1 node   2 its report   3 time to live of a report, ms
Returns how many processes have a report in this partition.
--]]
local nodes, reports = KEYS[1], KEYS[2]
local node, report, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for _, expired in ipairs(redis.call('ZRANGEBYSCORE', nodes, '-inf', now - ttl)) do
  redis.call('ZREM', nodes, expired)
  redis.call('HDEL', reports, expired)
end
-- Redis' clock was set back: times after now become now, or reports of dead processes would not expire until then
for _, later in ipairs(redis.call('ZRANGEBYSCORE', nodes, '(' .. now, '+inf')) do
  redis.call('ZADD', nodes, now, later)
end
redis.call('ZADD', nodes, now, node)
redis.call('HSET', reports, node, report)
redis.call('PEXPIRE', nodes, ttl)
redis.call('PEXPIRE', reports, ttl)
return redis.call('ZCARD', nodes)
