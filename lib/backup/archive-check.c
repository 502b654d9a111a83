/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/archive-check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/backup/archive-cipher.h"
#include "lib/backup/archive-extract.h"
#include "lib/backup/archive-read.h"
#include "lib/backup/staging.h"

bool archive_is_name(const char *text) {
        static const char *const suffixes[] = { ".tar", ".tar.zst", ".tar.gz" };
        size_t length = (size_t) (archive_cipher_suffix(text) - text);

        for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
                size_t n = strlen(suffixes[i]);

                if (length > n && strncmp(text + length - n, suffixes[i], n) == 0)
                        return true;
        }
        return false;
}

char *archive_find(const struct Layout *layout, const char *name) {
        char *path;

        if (strchr(name, '/') || access(name, F_OK) >= 0)
                return strdup(name);
        return asprintf(&path, "%s/%s", layout->archives, name) < 0 ? NULL : path;
}

int archive_check(const struct Operation *operation, const char *path, const char *identity,
        struct CheckReport **ret_report, struct Failure *failure) {
        return archive_walk(operation, path, identity, NULL, ret_report, failure);
}

/*
 * Power gone at any time: .partial-<stamp>-<random> in data/tmp, or a part of it, which goes with
 * the next run.
 */
int archive_check_deep(const struct Operation *operation, const char *path, const char *identity,
        struct CheckReport **ret_report, struct Failure *failure) {
        const char *directory = operation->layout->tmp;
        _cleanup_check_report_ struct CheckReport *unpacked = NULL, *report = NULL;
        _cleanup_staging_ struct Staging staging = STAGING_INIT;
        char stamp[STAMP_SIZE];
        int r;

        staging_clean_up(operation, directory);
        stamp_format(clock_now(operation->clock), stamp); /* its own is not known yet */
        r = staging_create(directory, STAGING_DIRECTORY, stamp, &staging, failure);
        if (r < 0)
                return r;
        r = archive_extract(
                operation, path, identity, staging.fd, staging.path, &unpacked, failure);
        if (r < 0)
                return r;
        if (!unpacked->valid) {
                *ret_report = STEAL(unpacked);
                return 0;
        }
        r = check_directory(operation, staging.path, unpacked->stamp, &report, failure);
        if (r < 0)
                return r;
        report->duration_ms += unpacked->duration_ms;
        *ret_report = STEAL(report);
        return 0;
}
