/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/server-url.h"

#include <string.h>

#include "lib/base/text.h"

const char *server_url_of(const char *value, const char *example) {
        size_t scheme = strcspn(example, ":") + 1;
        const char *url = value + scheme, *host;

        if (strncmp(value, example, scheme) != 0 || !text_is_printable(value))
                return NULL;
        if (strncmp(url, "http://", 7) == 0)
                host = url + 7;
        else if (strncmp(url, "https://", 8) == 0)
                host = url + 8;
        else
                return NULL;
        return strcspn(host, "/:") > 0 && !strpbrk(host, " @?#") ? url : NULL;
}
