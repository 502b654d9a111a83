/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/digest-job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

static int run(struct DigestJob *job) {
        _cleanup_close_ int fd =
                openat(job->dir_fd, job->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        if (fd < 0)
                return -errno;
        if (job->sync && fsync(fd) < 0)
                return -errno;
        return digest_fd(fd, job->digest, &job->size);
}

static void *thread_main(void *userdata) {
        struct DigestJob *job = userdata;

        job->result = run(job);
        return NULL;
}

void digest_job_start(struct DigestJob *job) {
        sigset_t all, before;

        /* Signals are the business of the threads that were there. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        job->running = pthread_create(&job->thread, NULL, thread_main, job) == 0;
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!job->running)
                job->result = run(job);
}

int digest_job_wait(struct DigestJob *job) {
        if (job->running) {
                (void) pthread_join(job->thread, NULL);
                job->running = false;
        }
        return job->result;
}
