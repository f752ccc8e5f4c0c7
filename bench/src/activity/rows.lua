-- Rows for wrk, in turn for the workspaces of a file, all with the same body.
--   wrk ... -s rows.lua URL -- FILE REQUEST_BODY SUMMARY

local requests = {}
local at = 0

function init(args)
  wrk.headers["Content-Type"] = "application/json"
  local body = '{"activity_type":"agent_log","method":"message/send","summary":"' .. args[3]
    .. '","request_body":' .. args[2] .. '}'
  for line in io.lines(args[1]) do
    local id, token = line:match("^(%S+) (%S+)$")
    wrk.headers["Authorization"] = "Bearer " .. token
    requests[#requests + 1] = wrk.format("POST", "/workspaces/" .. id .. "/activity", nil, body)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
