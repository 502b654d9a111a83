/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/uri.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/base/utf8.h"

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int uri_decode(char *text) {
        const char *from = text;
        char *to = text;

        while (*from) {
                if (*from != '%') {
                        *to++ = *from++;
                        continue;
                }
                int high = hex_digit(from[1]);
                int low = high < 0 ? -1 : hex_digit(from[2]);
                if (low < 0 || (high == 0 && low == 0))
                        return -EINVAL;
                *to++ = (char) (high * 16 + low);
                from += 3;
        }
        *to = '\0';
        return utf8_is_valid(text, (size_t) (to - text)) ? 0 : -EINVAL;
}

int uri_path_parse(const char *raw, struct UriPath *ret_path) {
        _cleanup_uri_path_ struct UriPath path = { 0 };
        char *rest, *segment;

        if (raw[0] != '/')
                return -EINVAL;
        path.text = strdup(raw + 1);
        if (!path.text)
                return -ENOMEM;

        rest = path.text[0] != '\0' ? path.text : NULL;
        while ((segment = strsep(&rest, "/"))) {
                if (uri_decode(segment) < 0)
                        return -EINVAL;
                if (path.n_segments < URI_SEGMENTS_MAX)
                        path.segments[path.n_segments] = segment;
                path.n_segments++;
        }

        *ret_path = path;
        path.text = NULL;
        return 0;
}

void uri_path_clear(struct UriPath *path) {
        free(path->text);
        path->text = NULL;
        path->n_segments = 0;
}

bool uri_split_absolute(const char *target, const char **ret_authority, size_t *ret_authority_size,
        const char **ret_path) {
        static const char scheme[] = "http://";
        size_t size;

        if (strncasecmp(target, scheme, strlen(scheme)) != 0)
                return false;
        target += strlen(scheme);
        size = strcspn(target, "/");
        *ret_authority = target;
        *ret_authority_size = size;
        *ret_path = target[size] == '/' ? target + size : "/";
        return true;
}
