--[[
One slice of a large hash, and its server: a cursor is not valid on another server, or after a restart.

KEYS  1 the hash
ARGV  1 cursor   2 about how many fields
Returns {the next cursor, {field, value, …}, the server's run id}.
--]]
local hash, cursor, count = KEYS[1], ARGV[1], ARGV[2]

local reply = redis.call('HSCAN', hash, cursor, 'COUNT', count)
return {reply[1], reply[2], string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')}
