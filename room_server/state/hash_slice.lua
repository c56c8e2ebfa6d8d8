--[[
One slice of a large hash, and its server: a cursor is not valid on another server, or after a restart.

KEYS  1 the hash
ARGV  1 cursor   2 about how many fields   3 '1': their names alone
Returns {the next cursor, {field, value, …} or {field, …}, the server's run id}.
--]]
local hash, cursor, count, names_alone = KEYS[1], ARGV[1], ARGV[2], ARGV[3] == '1'

local reply = redis.call('HSCAN', hash, cursor, 'COUNT', count)
local found = reply[2]
if names_alone then
  local names = {}
  for place = 1, #found, 2 do
    names[#names + 1] = found[place]
  end
  found = names
end
return {reply[1], found, string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')}
