-- Closes the sessions of a server that has been down for 0.4 s. Later than `timeout connect`, so that no session is
-- caught while its connect is in flight; again every 5 s, for sessions that slipped through.
local PERIOD_MS, FIRST, AGAIN = 100, 4, 50
local periods_down = {}

core.register_task(function()
  while true do
    core.msleep(PERIOD_MS)
    for _, backend in pairs(core.backends) do
      for _, server in pairs(backend.servers) do
        local key = backend:get_name() .. "/" .. server:get_name()
        local status = server:get_stats()["status"]
        if status and status:sub(1, 4) == "DOWN" then
          local count = (periods_down[key] or 0) + 1
          periods_down[key] = count
          if count == FIRST or count % AGAIN == 0 then
            server:shut_sess()
          end
        else
          periods_down[key] = nil
        end
      end
    end
  end
end)
