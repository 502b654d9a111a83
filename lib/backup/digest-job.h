/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * SHA-256 of one large file on a thread of its own, while the caller checks the same file.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/digest.h"
#include "lib/base/task.h"

struct DigestJob {
        int dir_fd; /* borrowed; must stay open until the job ended */
        const char *path;
        bool sync; /* fsync the file as well */

        /* Results, after digest_job_wait(). */
        char digest[DIGEST_HEX_SIZE];
        uint64_t size;

        int result;
        struct Task task;
};

/* Set dir_fd, path and sync before; the struct must not move afterwards. */
void digest_job_start(struct DigestJob *job);
/* 0 or the -errno of open, read or fsync. May be called again; without a start it is -EINVAL. */
int digest_job_wait(struct DigestJob *job);

static inline void digest_job_waitp(struct DigestJob *job) {
        (void) digest_job_wait(job);
}
#define _cleanup_digest_job_ _cleanup_(digest_job_waitp)
#define DIGEST_JOB_INIT                                                                            \
        { .dir_fd = -1, .result = -EINVAL }
