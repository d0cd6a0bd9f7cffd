-- Rotates the secrets of the endpoints in the file ENDPOINTS in turn. Without that variable it uses 100 made-up ids,
-- which the floor accepts.

local key = "bench-key-0123456789"
local paths = {}
local turn = 0

local function rotation_of(id)
  return "/webhooks/endpoints/" .. id .. "/secret/rotate"
end

local ids = os.getenv("ENDPOINTS")
if ids then
  for line in io.lines(ids) do
    paths[#paths + 1] = rotation_of(line)
  end
else
  for n = 1, 100 do
    paths[n] = rotation_of(string.format("we_550e8400e29b41d4a716%012d", n))
  end
end

wrk.method = "POST"
wrk.body = '{"expire_current_in":0}'
wrk.headers["Authorization"] = "Bearer " .. key
wrk.headers["Content-Type"] = "application/json"

local requests = {}

function init()
  for n, path in ipairs(paths) do
    requests[n] = wrk.format(nil, path)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("%.0f rotations/s, p50 %.2f ms, p99 %.2f ms, %d not answered with 2xx, %d broken connections\n",
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
