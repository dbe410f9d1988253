-- Serves a plain worker on the port that leads to any node only while it is in step with the cluster: a worker that was
-- disabled has missed writes. The guard beside the coordinator knows; it is asked at the address of the coordinator that
-- leads. While it does not answer, everything stays as it is. Workers begin in maintenance. WORKERS is empty where nobody guards.
-- In a worker's own network (ALONE) the worker is not served while the network leads to no guard: it may be cut off, and disabled.
local PERIOD_MS, TIMEOUT_S, PORT = 250, 1, 8010

local function ask(address)
  local socket = core.tcp()
  socket:settimeout(TIMEOUT_S)
  if not socket:connect(address, PORT) then return nil end
  socket:send("GET / HTTP/1.0\r\n\r\n")
  local answer = socket:receive("*a")
  socket:close()
  local body = answer and answer:match("^HTTP/1%.%d 200.-\r\n\r\n(.*)$")
  if not body then return nil end
  local in_step = {}
  for name in body:gmatch("[^\n]+") do in_step[name] = true end
  return in_step
end

-- Whether nobody who could lead answers a check, not even by a refusal, which comes where only the guard is away.
local function is_cut_off()
  for _, server in pairs(core.backends["leader"].servers) do
    local stats = server:get_stats()
    if (stats["check_status"] or ""):match("L4OK") or (stats["last_chk"] or ""):match("refused") then return false end
  end
  return true
end

local served = {}

local function serve(in_step)
  for name, server in pairs(core.backends["nodes"].servers) do
    if WORKERS[name] and served[name] ~= (in_step[name] or false) then
      served[name] = in_step[name] or false
      if served[name] then
        server:set_ready()
      else
        server:set_maint()
      end
    end
    -- Again and again, for a session whose connect was in flight.
    if WORKERS[name] and not served[name] then server:shut_sess() end
  end
end

-- What a guard says, while its coordinator leads.
local function follow(server)
  while true do
    local status = server:get_stats()["status"]
    local address = server:get_addr():match("^(%d+%.%d+%.%d+%.%d+)")
    if address and status and status:sub(1, 2) == "UP" then
      local asked, in_step = pcall(ask, address)
      if asked and in_step then serve(in_step) end
    end
    core.msleep(PERIOD_MS)
  end
end

core.register_task(function()
  if next(WORKERS) == nil then return end
  -- A task for each: a question that nobody answers takes 5 s, HAProxy's limit for the connect of a task, and another may lead by then.
  for _, server in pairs(core.backends["leader"].servers) do
    core.register_task(function() follow(server) end)
  end
  while ALONE do
    if is_cut_off() then serve({}) end
    core.msleep(PERIOD_MS)
  end
end)
