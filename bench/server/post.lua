-- For wrk: POST the file named first with the headers of the others (name=value); tell as JSON.
-- Where the file has a seed of 0, each request gets another one, so that no two are the same.
local head, tail, number
function init(args)
  local file = io.open(args[1], "rb")
  wrk.method, wrk.body = "POST", file:read("*a")
  file:close()
  for i = 2, #args do
    local name, value = args[i]:match("^([^=]+)=(.*)$")
    wrk.headers[name] = value
  end
  local first, last = wrk.body:find('"seed": 0', 1, true)
  if not first then return end
  head, tail, number = wrk.body:sub(1, last - 1), wrk.body:sub(last + 1), os.time() * 1e6
  request = function()
    number = number + 1
    return wrk.format(nil, nil, nil, head .. ("%d"):format(number) .. tail)
  end
end

function done(summary, latency)
  local errors = summary.errors
  local form = '{"requests": %d, "microseconds": %d, "median": %d, "p99": %d, "failed": %d}\n'
  io.stderr:write(form:format(summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
