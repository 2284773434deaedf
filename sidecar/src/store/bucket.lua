-- One bucket of a shared limit, on this server's clock and in microseconds: the generic cell rate
-- algorithm, as each sidecar has it for limits of its own.
--
-- KEYS[1]  the bucket
-- ARGV     interval (what a request is worth), burst, requests wanted,
--          requests handed back, and of the debit that they are from: after, given, born
-- returns  granted, left, until one more fits, until it is full; and of this debit: after, given, born
--
-- The bucket is kept as `after given born`: when it will be full, by how much handing back has moved
-- that, and when the bucket began. It expires when it is full.

local time = redis.call('TIME')
-- Counted from 2025, so that a double has room for a part of a microsecond.
local now = (time[1] - 1735689600) * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local want, back = tonumber(ARGV[3]), tonumber(ARGV[4])
local empty = now + interval * burst

local after, given, born = now, 0, now
-- Something else under this name is overwritten.
local kept = redis.pcall('GET', KEYS[1])
if type(kept) == 'string' then
    local a, g, b = string.match(kept, '^(%S+) (%S+) (%S+)$')
    a, g, b = tonumber(a), tonumber(g), tonumber(b)
    if a and g and b and a > now then
        after, given, born = a, g, b
    end
end

-- Nobody owes more than a burst: the clock was set back, or the limit was set lower.
if after > empty then
    given = given + after - empty
    after = empty
end

-- What of the debit still lies ahead has not run over since; the rest stays spent, and so does all that
-- was debited from a bucket that has begun anew.
if back > 0 and born == tonumber(ARGV[7]) then
    local ahead = tonumber(ARGV[5]) - (given - tonumber(ARGV[6])) - now
    local moved = math.max(0, math.min(ahead, back * interval, after - now))
    after = after - moved
    given = given + moved
end

local free = math.max(0, math.floor((empty - after) / interval + 0.000001))
local granted = math.min(want, free)
after = after + granted * interval
if after > now then
    local value = string.format('%.3f %.3f %.0f', after, given, born)
    redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', math.ceil((after - now) / 1000) + 1))
else
    redis.call('DEL', KEYS[1])
end
return string.format('%.0f %.0f %.0f %.0f %.3f %.3f %.0f', granted, free - granted,
    math.ceil(math.max(0, after + interval - empty)), math.ceil(after - now), after, given, born)
