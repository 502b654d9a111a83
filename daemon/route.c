/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/route.h"

#include <string.h>

static bool path_matches(const char *pattern, const struct UriPath *path) {
        size_t n = 0;

        while (*pattern == '/') {
                size_t size = strcspn(++pattern, "/");

                if (n >= path->n_segments)
                        return false;
                if (*pattern != '{' &&
                        (strncmp(pattern, path->segments[n], size) != 0 ||
                                path->segments[n][size] != '\0'))
                        return false;
                pattern += size;
                n++;
        }
        return n == path->n_segments;
}

enum RouteMatch route_match(const struct Route *table, enum Method method,
        const struct UriPath *path, const struct Route **ret_route, const char **ret_allow) {
        static const char *const allowed[] = { "", "GET, HEAD", "POST", "GET, HEAD, POST", "PUT",
                "GET, HEAD, PUT", "POST, PUT", "GET, HEAD, POST, PUT" };
        unsigned can = 0;

        if (path->n_segments > URI_SEGMENTS_MAX)
                return ROUTE_PATH_UNKNOWN;
        for (const struct Route *route = table; route->pattern; route++) {
                if (!path_matches(route->pattern, path))
                        continue;
                if (route->method == method ||
                        (route->method == METHOD_GET && method == METHOD_HEAD)) {
                        *ret_route = route;
                        return ROUTE_FOUND;
                }
                can |= route->method == METHOD_GET ? 1u : route->method == METHOD_POST ? 2u : 4u;
        }
        if (can == 0)
                return ROUTE_PATH_UNKNOWN;
        *ret_allow = allowed[can];
        return ROUTE_METHOD_UNKNOWN;
}
