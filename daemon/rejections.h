/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Tells of requests that were refused for who asked, at most once in a while: whoever tries tokens
 * must not be able to fill the journal.
 */

#include <stdint.h>

struct Response;
struct Route;

struct Rejections {
        uint64_t next_ms; /* before it nothing is told */
        uint64_t untold;
};

/* Where the response is 401 or 403. `route` may be NULL. */
void rejections_note(struct Rejections *rejections, const struct Response *response,
        const struct Route *route, const char *address);
