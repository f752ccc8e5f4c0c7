-- Lists for wrk, of random workspaces of a file.
--   wrk ... -s lists.lua URL -- FILE QUERY

local requests = {}

function init(args)
  for line in io.lines(args[1]) do
    local id, token = line:match("^(%S+) (%S+)$")
    wrk.headers["Authorization"] = "Bearer " .. token
    requests[#requests + 1] = wrk.format("GET", "/workspaces/" .. id .. "/activity?" .. args[2])
  end
end

function request()
  return requests[math.random(#requests)]
end
