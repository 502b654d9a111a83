-- SPDX-License-Identifier: LGPL-2.1-or-later

-- wrk … -s context-build.lua URL -- BODIES: POSTs the lines of the file BODIES in turn, over and over;
-- prints "requests/s, answers that are not 200, socket errors, p99 in ms" at the end.

local requests = {}
local place = 0

function init(arguments)
        wrk.headers["Content-Type"] = "application/json"
        for body in io.lines(arguments[1]) do
                requests[#requests + 1] = wrk.format("POST", nil, nil, body)
        end
end

function request()
        place = place % #requests + 1
        return requests[place]
end

function done(summary, latency, _)
        local errors = summary.errors
        print(string.format("measured %.1f %d %d %.3f", summary.requests / summary.duration * 1e6,
                errors.status, errors.connect + errors.read + errors.write + errors.timeout,
                latency:percentile(99) / 1e3))
end
