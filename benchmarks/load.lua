-- Plays the bodies of a file, a line each, from a place on and around
-- wrk ... -- PATH FILE FIRST
local requests, place = {}, 0

function init(args)
  local headers = { ["content-type"] = "application/json" }
  for line in io.lines(args[2]) do requests[#requests + 1] = wrk.format("POST", args[1], headers, line) end
  place = tonumber(args[3])
end

function request()
  local one = requests[place % #requests + 1]
  place = place + 1
  return one
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"errors":%d}\n', summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
