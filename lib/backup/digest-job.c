/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/digest-job.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int digest(struct DigestJob *job) {
        _cleanup_close_ int fd =
                openat(job->dir_fd, job->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        if (fd < 0)
                return -errno;
        if (job->sync && fsync(fd) < 0)
                return -errno;
        return digest_fd(fd, job->digest, &job->size);
}

static void run(void *userdata) {
        struct DigestJob *job = userdata;

        job->result = digest(job);
}

void digest_job_start(struct DigestJob *job) {
        job->task = (struct Task){ .run = run, .userdata = job };
        task_start(&job->task);
}

int digest_job_wait(struct DigestJob *job) {
        task_wait(&job->task);
        return job->result;
}
