-- wrk asks for batches of DEPTH pipelined requests, BATCHES of them per thread, then falls
-- silent: nothing is under way when its time is up, so its own count is exact.
local depth, batches
local batch
local asked = 0

function init(arguments)
   depth, batches = tonumber(arguments[1]), tonumber(arguments[2])
   local requests = {}
   for index = 1, depth do
      requests[index] = wrk.format("GET", arguments[3])
   end
   batch = table.concat(requests)
end

function request()
   asked = asked + 1
   if asked > batches then
      return ""
   end
   return batch
end

function done(summary)
   local errors = summary.errors
   print(string.format("WRK %d %d", summary.requests,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
