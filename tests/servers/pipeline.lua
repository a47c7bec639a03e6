-- wrk asks for batches of DEPTH pipelined requests, BATCHES of them per thread. A connection comes
-- for a batch when the one before is answered whole; when all of a thread's have come in vain,
-- nothing is under way, and it says IDLE: from then on wrk's own count is exact.
local depth, batches, connections
local batch
local asked, idle = 0, 0

function init(arguments)
   depth, batches = tonumber(arguments[1]), tonumber(arguments[2])
   connections = tonumber(arguments[4])
   local requests = {}
   for index = 1, depth do
      requests[index] = wrk.format("GET", arguments[3])
   end
   batch = table.concat(requests)
end

function request()
   asked = asked + 1
   if asked <= batches then
      return batch
   end
   idle = idle + 1
   if idle == connections then
      io.write("IDLE\n")
      io.flush()
   end
   return ""
end

function done(summary)
   local errors = summary.errors
   print(string.format("WRK %d %d", summary.requests,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
