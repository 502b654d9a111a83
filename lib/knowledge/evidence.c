/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/evidence.h"

#define NS_PER_SECOND UINT64_C(1000000000)

/* Wraps around in the year 2262: it is only compared. */
static int64_t nanoseconds(const struct timespec *time) {
        return (int64_t) ((uint64_t) time->tv_sec * NS_PER_SECOND + (uint64_t) time->tv_nsec);
}

struct Evidence evidence_of(const struct stat *status, const struct timespec *read_at) {
        int64_t age = read_at->tv_sec - status->st_mtim.tv_sec;
        bool settled = age > EVIDENCE_SETTLE_SECONDS || age < -EVIDENCE_SETTLE_SECONDS;

        return (struct Evidence){
                .size = status->st_size,
                .mtime_ns = nanoseconds(&status->st_mtim),
                .ctime_ns = nanoseconds(&status->st_ctim),
                .inode = settled ? (int64_t) status->st_ino : 0,
        };
}

bool evidence_agrees(const struct Evidence *known, const struct stat *status) {
        return known->size == status->st_size && known->mtime_ns == nanoseconds(&status->st_mtim) &&
                known->ctime_ns == nanoseconds(&status->st_ctim) &&
                (known->inode == 0 || known->inode == (int64_t) status->st_ino);
}

bool evidence_proves_unchanged(const struct Evidence *known, const struct stat *status) {
        return known->inode != 0 && evidence_agrees(known, status);
}
