--[[
Try every command that the product uses on a key of no meaning, to learn which of them this user may not run. Most of
the calls fail, since the key holds a text: whether a user may run a command is checked before.

KEYS  1 the key, deleted at the end
ARGV  1 a channel
Returns the names of the commands that are refused, in lower case.
--]]
local key, channel = KEYS[1], ARGV[1]
local refused = {}

for _, call in ipairs({
  {'SET', key, '1', 'EX', 10}, {'GET', key}, {'EXISTS', key}, {'EXPIRE', key, 10}, {'PERSIST', key},
  {'PEXPIRE', key, 10000}, {'RENAME', key, key}, {'TIME'}, {'INFO', 'server'}, {'SPUBLISH', channel, ''},
  {'HDEL', key, '1'}, {'HEXISTS', key, '1'}, {'HGET', key, '1'}, {'HGETALL', key}, {'HINCRBY', key, '1', 1},
  {'HKEYS', key}, {'HLEN', key}, {'INCR', key}, {'HMGET', key, '1'}, {'HSCAN', key, 0}, {'HSET', key, '1', '1'}, {'HVALS', key},
  {'XACK', key, 'g', '0-1'}, {'XADD', key, '*', '1', '1'}, {'XAUTOCLAIM', key, 'g', 'c', 0, '0'},
  {'XCLAIM', key, 'g', 'c', 0, '0-1'}, {'XDEL', key, '0-1'}, {'XGROUP', 'CREATE', key, 'g', '0'},
  {'XGROUP', 'DELCONSUMER', key, 'g', 'c'}, {'XGROUP', 'SETID', key, 'g', '$'}, {'XGROUP', 'DESTROY', key, 'g'},
  {'XINFO', 'CONSUMERS', key, 'g'}, {'XINFO', 'GROUPS', key}, {'XINFO', 'STREAM', key}, {'XPENDING', key, 'g'},
  {'XRANGE', key, '-', '+'}, {'XREVRANGE', key, '+', '-'}, {'XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', key, '>'},
  {'ZADD', key, 1, '1'}, {'INCR', key}, {'MGET', key},
  {'ZCARD', key}, {'ZRANGE', key, 0, 0}, {'ZRANGEBYSCORE', key, 0, 0}, {'ZREM', key, '1'},
  {'ZREMRANGEBYSCORE', key, 0, 0}, {'ZREVRANGE', key, 0, 0}, {'ZREVRANGEBYSCORE', key, 0, 0}, {'ZSCORE', key, '1'},
  {'UNLINK', key},
}) do
  local reply = redis.pcall(unpack(call))
  local problem = type(reply) == 'table' and reply.err or ''
  -- the second is Redis 7.0's
  if string.find(problem, 'ACL failure', 1, true) or string.find(problem, 'The user executing the script', 1, true) then
    refused[#refused + 1] = string.lower(call[1])
  end
end
return refused
