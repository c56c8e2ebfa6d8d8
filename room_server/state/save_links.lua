--[[
Store short links of leads that are on the roster, and forget those of theirs that have ended.

KEYS  1 links   2 roster
ARGV  1 now, Unix seconds   2 until when the new links hold, Unix seconds
      3 how many links a lead may have; the oldest go first   4… lead, digest, lead, digest, …
Returns the leads whose links were stored: those that are on the roster.
--]]
local links, roster = KEYS[1], KEYS[2]
local now, expires, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local stored = {}
for at = 4, #ARGV, 2 do
  local lead, digest = ARGV[at], ARGV[at + 1]
  if redis.call('HEXISTS', roster, lead) == 1 then
    local of_lead = 'lead:' .. lead
    local kept = {}
    for known in string.gmatch(redis.call('HGET', links, of_lead) or '', '%S+') do
      local ends = string.match(redis.call('HGET', links, known) or '', '"exp":(%d+)')
      if known ~= digest and ends and tonumber(ends) > now then
        kept[#kept + 1] = known
      elseif known ~= digest then
        redis.call('HDEL', links, known)
      end
    end
    while #kept >= most do
      redis.call('HDEL', links, table.remove(kept, 1))
    end
    kept[#kept + 1] = digest
    redis.call('HSET', links, of_lead, table.concat(kept, ' '),
      digest, string.format('{"lead_id":%s,"exp":%.0f}', lead, expires))
    stored[#stored + 1] = tonumber(lead)
  end
end
return stored
