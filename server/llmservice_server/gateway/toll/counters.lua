-- Counters that replicas share. Each call is atomic: an order is taken as a whole or not at all.
-- The model is memory.py, which says what is meant; a test holds this equal to it. What is late by
-- its deadline, 0 for none, is not done.
--
-- take    KEYS: a counter a charge, and perhaps a key to look up
--         ARGV: take, deadline, name, month, requests, tokens of the seed, then what, limit, cost
--               of each charge
-- settle  KEYS: where the number of a replica's last batch is, and a counter a charge, of all orders
--         ARGV: settle, the batch's number, then of each order name, month, seeded, age, requests,
--               tokens, number of charges, and of each of these what, limit, cost
-- renew   KEYS: counters
--         ARGV: renew, deadline, then the name of the order that holds a place of each

local MINUTE, LEASE, DEBT, SOON = 60000, 60000, 2, 1000
local DAY = 86400000
local now = NOW

-- Whole numbers below 2^51: doubles hold them, and these divide them without a rest.
local function floor(part, whole) return (part - part % whole) / whole end
local function ceil(part, whole) return floor(part + whole - 1, whole) end
local function text(number) return string.format('%.0f', number) end

local function late()
  local deadline = tonumber(ARGV[2])
  return deadline > 0 and now > deadline
end

local function keep(key, used, limit)
  if used > 0 then
    redis.call('SET', key, text(used) .. ' ' .. text(now), 'PX', text(ceil(used, limit) + MINUTE))
  else
    redis.call('DEL', key)
  end
end

local function used_of(key, limit)
  local value = redis.call('GET', key)
  if not value then return 0 end
  local used, at = string.match(value, '^(%d+) (%d+)$')
  used, at = tonumber(used), tonumber(at)
  if at > now then keep(key, used, limit) end  -- the clock went back
  return math.max(used - math.min(math.max(now - at, 0), DEBT * MINUTE) * limit, 0)
end

local function held_of(key)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
  redis.call('ZREMRANGEBYSCORE', key, '(' .. text(now + LEASE), '+inf')
  return redis.call('ZCARD', key)
end

local function hold(key, name)
  redis.call('ZADD', key, text(now + LEASE), name)
  redis.call('PEXPIRE', key, 2 * LEASE)
end

-- The days of the civil calendar, as Hinnant counts them: years begin in March.
local function month_now()
  local days = floor(now, DAY) + 719468
  local era = floor(days, 146097)
  local day = days - era * 146097
  local year = floor(day - floor(day, 1460) + floor(day, 36524) - floor(day, 146096), 365)
  local month = floor(5 * (day - (365 * year + floor(year, 4) - floor(year, 100))) + 2, 153)
  local ends = floor(153 * (month + 1) + 2, 5) + 365 * year + floor(year, 4) - floor(year, 100)
  if month == 11 then  -- February: the era's year ends with it
    local after = year + 1
    ends = 365 * after + floor(after, 4) - floor(after, 100) + floor(after, 400)
  end
  local number = month < 10 and month + 3 or month - 9
  if number <= 2 then year = year + 1 end
  return string.format('%04d-%02d', year + era * 400, number),
    (era * 146097 + ends - 719468) * DAY - now
end

local function take()
  if late() then return {-2, 0, now} end
  local count = (#ARGV - 6) / 3
  local found = KEYS[count + 1] and redis.call('GET', KEYS[count + 1]) or false
  local month, month_left = month_now()
  local seeded, unseeded = 0, false
  local left, longest, refused = {}, 0, -1
  local used = {}
  for i = 1, count do
    local what, limit, cost = ARGV[3 * i + 4], tonumber(ARGV[3 * i + 5]), tonumber(ARGV[3 * i + 6])
    local wait, rest, reset
    if what == 'r' or what == 't' then
      local full, was = limit * MINUTE, used_of(KEYS[i], limit)
      used[i] = was
      wait = ceil(math.max(was + cost * MINUTE - full, 0), limit)
      rest, reset = floor(math.max(full - was, 0), MINUTE), ceil(was, limit)
    else
      local was
      if what == 'c' then
        was, reset = held_of(KEYS[i]), SOON
      else
        local key = KEYS[i] .. ':' .. month
        if redis.call('EXISTS', key) == 0 then
          if ARGV[4] == month then
            redis.call('HSET', key, 'R', ARGV[5], 'T', ARGV[6], 'seeded', text(now))
            redis.call('PEXPIRE', key, text(month_left + 2 * DAY))
          else
            unseeded = true
          end
        end
        local values = redis.call('HMGET', key, what, 'seeded')
        was, reset = tonumber(values[1] or 0), month_left
        seeded = tonumber(values[2] or 0)
      end
      wait = was + cost > limit and reset or 0
      rest = math.max(limit - was, 0)
    end
    left[2 * i - 1], left[2 * i] = rest, reset
    if wait > longest then longest, refused = wait, i - 1 end
  end
  if refused < 0 and unseeded then
    refused = -3
  elseif refused < 0 then
    for i = 1, count do
      local what, limit, cost = ARGV[3 * i + 4], tonumber(ARGV[3 * i + 5]), ARGV[3 * i + 6]
      if used[i] then
        keep(KEYS[i], used[i] + tonumber(cost) * MINUTE, limit)
      elseif what == 'c' then
        hold(KEYS[i], ARGV[3])
      else
        redis.call('HINCRBY', KEYS[i] .. ':' .. month, what, cost)
      end
    end
  end
  return {refused, longest, now, month, seeded, found, unpack(left)}
end

local function settle_month(key, what, amount, cost, seeded, age)
  local values = redis.call('HMGET', key, what, 'seeded')
  if not values[1] then return end
  local since = tonumber(values[2])
  if since == seeded then
    amount = amount - cost
  elseif since > now - age then
    return  -- the ledger told it
  end
  redis.call('HSET', key, what, text(math.max(tonumber(values[1]) + amount, 0)))
end

local function settle()
  local number = tonumber(ARGV[2])
  if number <= tonumber(redis.call('GET', KEYS[1]) or 0) then return 0 end
  redis.call('SET', KEYS[1], text(number), 'PX', text(DAY))
  local at, key = 3, 2
  while at <= #ARGV do
    local name, month = ARGV[at], ARGV[at + 1]
    local seeded, age = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local spent = {R = tonumber(ARGV[at + 4]), T = tonumber(ARGV[at + 5])}
    local charges = tonumber(ARGV[at + 6])
    at = at + 7
    for _ = 1, charges do
      local what, limit, cost = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
      if what == 'c' then
        redis.call('ZREM', KEYS[key], name)
      elseif what == 't' and spent.T >= 0 then
        local used = used_of(KEYS[key], limit) + (spent.T - cost) * MINUTE
        keep(KEYS[key], math.min(math.max(used, 0), DEBT * limit * MINUTE), limit)
      elseif what == 'R' or what == 'T' then
        local amount = spent[what] >= 0 and spent[what] or cost
        settle_month(KEYS[key] .. ':' .. month, what, amount, cost, seeded, age)
      end
      at, key = at + 3, key + 1
    end
  end
  return 1
end

local function renew()
  if late() then return {-2, 0, now} end
  for i = 1, #KEYS do hold(KEYS[i], ARGV[i + 2]) end
  return {-1, 0, now}
end

local what = ARGV[1]
if what == 'take' then return take() end
if what == 'settle' then return settle() end
return renew()
