/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The path of a request target (RFC 3986) → its segments. It is split before it is decoded: a %2F
 * is part of its segment and never a separator, so `/admin/backup/..%2Fetc` has three segments, the
 * last of which is no stamp. Pure.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/cleanup.h"

#define URI_SEGMENTS_MAX 6 /* no route has more; a longer path is no route */

struct UriPath {
        char *text; /* holds the segments */
        const char *segments[URI_SEGMENTS_MAX];
        size_t n_segments; /* may exceed URI_SEGMENTS_MAX: the further ones are not kept */
};

/* Decodes %XX in place. -EINVAL for an incomplete escape, for %00, and for what is not UTF-8. */
int uri_decode(char *text);

/* `raw` begins with '/'; "/" has no segments, "/a/" has "a" and "". -EINVAL as above, or when it
 * does not begin with '/'. -ENOMEM. */
int uri_path_parse(const char *raw, struct UriPath *ret_path);
void uri_path_clear(struct UriPath *path);
#define _cleanup_uri_path_ _cleanup_(uri_path_clear)

/* An absolute-form target, `http://host:port/path`, which replaces the Host field (RFC 9112
 * §3.2.2). False for any other form. *ret_authority points into `target`, *ret_path too, or is "/".
 */
bool uri_split_absolute(const char *target, const char **ret_authority, size_t *ret_authority_size,
        const char **ret_path);
