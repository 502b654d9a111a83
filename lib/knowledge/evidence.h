/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What stat(2) tells about whether a file is as it was when it was read. All of it unchanged means
 * that the content is unchanged, unless the file had been written so shortly before it was read
 * that another write would have left the same times: such evidence is kept without the inode, and
 * the content decides (https://git-scm.com/docs/racy-git).
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* The coarsest times that file systems keep: FAT. */
#define EVIDENCE_SETTLE_SECONDS 2

struct Evidence {
        int64_t size;
        int64_t mtime_ns;
        int64_t ctime_ns;
        int64_t inode; /* 0: not settled when it was read */
};

/* `read_at` is the time of the system's clock, which is also that of the file system, before the
 * file was read; nothing that a test or rehearsal sets. */
struct Evidence evidence_of(const struct stat *status, const struct timespec *read_at);

/* Same and settled: the file need not be read. */
bool evidence_proves_unchanged(const struct Evidence *known, const struct stat *status);
/* Same as far as it goes, settled or not. */
bool evidence_agrees(const struct Evidence *known, const struct stat *status);
