-- For wrk: POST the file named first with the headers of the others (name=value); tell as JSON.
function init(args)
  local file = io.open(args[1], "rb")
  wrk.method, wrk.body = "POST", file:read("*a")
  file:close()
  for i = 2, #args do
    local name, value = args[i]:match("^([^=]+)=(.*)$")
    wrk.headers[name] = value
  end
end

function done(summary, latency)
  local errors = summary.errors
  local form = '{"requests": %d, "microseconds": %d, "median": %d, "p99": %d, "failed": %d}\n'
  io.stderr:write(form:format(summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
