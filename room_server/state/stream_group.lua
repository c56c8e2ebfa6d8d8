--[[
What a consumer group of a stream has read, and what the stream holds.

This file is no script of its own: a script with a line `-- include stream_group.lua` has it.
Returns two tables of XINFO's fields by name: the stream's, and the group's; nil where there is none.
--]]
local function by_name(row)
  local fields = {}
  for at = 1, #row, 2 do
    fields[row[at]] = row[at + 1]
  end
  return fields
end

local function stream_and_group(stream, group)
  if redis.call('EXISTS', stream) == 0 then
    return nil, nil
  end
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local known = by_name(row)
    if known['name'] == group then
      return by_name(redis.call('XINFO', 'STREAM', stream)), known
    end
  end
  return by_name(redis.call('XINFO', 'STREAM', stream)), nil
end

-- whether a stream id comes before another
local function is_before(one, other)
  local ms, number = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_number = string.match(other, '^(%d+)-(%d+)$')
  ms, number, other_ms, other_number = tonumber(ms), tonumber(number), tonumber(other_ms), tonumber(other_number)
  return ms < other_ms or (ms == other_ms and number < other_number)
end
