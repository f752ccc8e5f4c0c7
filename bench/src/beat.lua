-- Beats for wrk: round-robin over the workspaces of a file. The uptime rises
-- with every lap, as an agent's does, and keeps its width: 8 digits.
--   wrk ... -s beat.lua URL -- FILE FIRST_UPTIME

local heads, tails = {}, {}
local at, uptime = 0, 0

function init(args)
  uptime = tonumber(args[2])
  wrk.headers["Content-Type"] = "application/json"
  for line in io.lines(args[1]) do
    local id, token = line:match("^(%S+) (%S+)$")
    wrk.headers["Authorization"] = "Bearer " .. token
    local body = '{"workspace_id":"' .. id .. '","error_rate":0,"sample_error":"",'
      .. '"active_tasks":0,"uptime_seconds":10000000,"current_task":"","runtime_state":""}'
    local request = wrk.format("POST", nil, nil, body)
    local from, to = request:find("10000000", 1, true)
    heads[#heads + 1] = request:sub(1, from - 1)
    tails[#tails + 1] = request:sub(to + 1)
  end
end

function request()
  at = at + 1
  if at > #heads then
    at = 1
    uptime = uptime + 1
  end
  return heads[at] .. uptime .. tails[at]
end
