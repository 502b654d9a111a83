/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/digest-job.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The most that one call is asked for; the kernel takes no more at once either. */
#define READ_AHEAD_STEP ((off_t) 1 << 20)

/* What is read by its trees meanwhile, page by page, is soon in memory as well. A disk, and a file
 * system of blocks that are shared and not in memory under this name, is many times faster at one
 * long reading. Advice only: what does not fit into memory is left to be read where it is wanted.
 */
static void read_ahead(int fd) {
        long pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);
        struct stat st;

        if (fstat(fd, &st) < 0 || pages < 0 || page_size < 0 || st.st_size / page_size > pages / 2)
                return;
        for (off_t at = 0; at < st.st_size; at += READ_AHEAD_STEP)
                if (posix_fadvise(fd, at, READ_AHEAD_STEP, POSIX_FADV_WILLNEED) != 0)
                        return;
}

static int digest(struct DigestJob *job) {
        _cleanup_close_ int fd =
                openat(job->dir_fd, job->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        if (fd < 0)
                return -errno;
        if (job->sync && fsync(fd) < 0)
                return -errno;
        read_ahead(fd);
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
