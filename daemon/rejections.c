/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/rejections.h"

#include <inttypes.h>
#include <stdio.h>

#include "daemon/response.h"
#include "daemon/route.h"
#include "lib/base/event.h"

#define INTERVAL_MS 1000

void rejections_note(struct Rejections *rejections, const struct Response *response,
        const struct Route *route, const char *address) {
        uint64_t now = monotonic_ms();
        char more[64] = "";

        if (response->status != HTTP_UNAUTHORIZED && response->status != HTTP_FORBIDDEN)
                return;
        if (now < rejections->next_ms) {
                rejections->untold++;
                return;
        }
        if (rejections->untold > 0)
                (void) snprintf(
                        more, sizeof more, " (and %" PRIu64 " more of late)", rejections->untold);
        rejections->untold = 0;
        rejections->next_ms = now + INTERVAL_MS;
        event_emit(&(struct Event){ .id = EVENT_REQUEST_REJECTED, .code = response->code },
                "A request for %s from %s was refused with %u: %s%s",
                route ? route->pattern : "an unknown path", address, response->status,
                response->detail ? response->detail : response->code, more);
}
