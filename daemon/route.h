/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Method and path → who answers, who may ask, on which lane. There is one table, routes.c.
 */

#include "daemon/access.h"
#include "daemon/jobs.h"
#include "daemon/request.h"
#include "daemon/response.h"

struct Route {
        enum Method method;  /* METHOD_GET answers HEAD too */
        const char *pattern; /* "/admin/backup/{stamp}": a segment in braces stands for any */
        enum AccessNeed access;
        enum Lane lane;
        /* Fills the response, on a thread of the lane. */
        void (*handle)(
                struct Worker *worker, const struct Request *request, struct Response *response);
};

extern const struct Route routes[]; /* ends with a NULL pattern */

enum RouteMatch {
        ROUTE_FOUND,
        ROUTE_PATH_UNKNOWN,   /* 404 */
        ROUTE_METHOD_UNKNOWN, /* 405; *ret_allow says what the path can do */
};

/* Pure. *ret_allow is static text. */
enum RouteMatch route_match(const struct Route *table, enum Method method,
        const struct UriPath *path, const struct Route **ret_route, const char **ret_allow);
