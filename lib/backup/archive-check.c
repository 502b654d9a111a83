/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/archive-check.h"

#include <string.h>

#include "lib/backup/archive-read.h"

bool archive_is_name(const char *text) {
        static const char *const suffixes[] = { ".tar", ".tar.zst", ".tar.gz" };
        size_t length = strlen(text);

        for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
                size_t n = strlen(suffixes[i]);

                if (length > n && strcmp(text + length - n, suffixes[i]) == 0)
                        return true;
        }
        return false;
}

int archive_check(const struct Operation *operation, const char *path,
        struct CheckReport **ret_report, struct Failure *failure) {
        return archive_walk(operation, path, NULL, NULL, ret_report, failure);
}
