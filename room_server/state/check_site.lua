--[[
The event of a check by the site, once for each nonce.

KEYS  1 check (of this nonce)   2 events
ARGV  1 seconds that a nonce is known   2 the nonce   3 the payload   4 the request's id   5 the actor, JSON
Returns 1 when the event was appended, 0 when the nonce is known.
--]]
local check, events = KEYS[1], KEYS[2]
local keep, nonce, payload, request_id, actor = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local EVENTS_KEPT = 1000000

if not redis.call('SET', check, '1', 'NX', 'EX', keep) then
  return 0
end
redis.call('XADD', events, 'MAXLEN', '~', EVENTS_KEPT, '*', 'hook', 'core_site_checked', 'payload', payload,
           'request_id', request_id, 'actor', actor, 'id', 'core_site_checked:' .. nonce)
return 1
