/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/archive-staging.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "lib/backup/snapshot.h"
#include "lib/backup/staging.h"
#include "lib/base/file-io.h"
#include "lib/base/lock.h"

#define CREATE_ATTEMPTS 16

int archive_staging_open(const struct Operation *operation, struct ArchiveStaging *ret_staging,
        struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        int fd, r;

        r = staging_check_root(layout, failure);
        if (r < 0)
                return r;
        r = make_directory_at(AT_FDCWD, layout->archives);
        if (r < 0)
                return failure_set_write(failure, -r, layout->archives, "create");
        /* Its name as well, made now or by a run that was cut short: a first archive could go with
         * it. */
        r = sync_directory_at(AT_FDCWD, layout->backups);
        if (r < 0)
                return failure_set_write(failure, -r, layout->backups, "sync");
        fd = open(layout->archives, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return failure_set_write(failure, errno, layout->archives, "open");
        ret_staging->parent_fd = fd;
        return 0;
}

/* -EAGAIN: another name is to be tried, because this one is taken, or a cleaner came between the
 * creation and the lock. */
static int create_locked(int parent_fd, const char *name, int *ret_fd) {
        _cleanup_close_ int fd =
                openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
        struct stat st;
        int r;

        if (fd < 0)
                return errno == EEXIST ? -EAGAIN : -errno;
        r = lock_directory(fd);
        if (r >= 0 && fstat(fd, &st) >= 0 && st.st_nlink == 0)
                r = -EAGAIN;
        if (r < 0) {
                (void) unlinkat(parent_fd, name, 0);
                return r;
        }
        *ret_fd = STEAL_FD(fd);
        return 0;
}

int archive_staging_create(const struct Operation *operation, struct ArchiveStaging *staging,
        const char *stamp, struct Failure *failure) {
        const char *directory = operation->layout->archives;

        for (unsigned attempt = 0;; attempt++) {
                _cleanup_free_ char *path = NULL;
                uint32_t random;
                int fd = -1, r;

                if (getrandom(&random, sizeof random, 0) != (ssize_t) sizeof random)
                        return failure_set(failure, EVENT_INTERNAL_ERROR, EIO, NULL,
                                "The kernel gave no random number for a staging file's name");
                if (asprintf(&path, "%s/" SNAPSHOT_PARTIAL_PREFIX "%s-%08x", directory, stamp,
                            random) < 0) {
                        path = NULL;
                        return failure_out_of_memory(failure);
                }
                r = create_locked(staging->parent_fd, path + strlen(directory) + 1, &fd);
                if (r == -EAGAIN && attempt < CREATE_ATTEMPTS)
                        continue;
                if (r < 0)
                        return failure_set_write(failure, -r, path, "create");
                staging->path = STEAL(path);
                staging->fd = fd;
                return 0;
        }
}

static int rename_without_replacing(int parent_fd, const char *from, const char *to) {
        if (renameat2(parent_fd, from, parent_fd, to, RENAME_NOREPLACE) >= 0)
                return 0;
        /* A file system without RENAME_NOREPLACE: a link does not replace either. If power goes
         * between the two the file has both names, and the next run removes the first. */
        if ((errno == EINVAL || errno == ENOSYS) &&
                linkat(parent_fd, from, parent_fd, to, 0) >= 0) {
                (void) unlinkat(parent_fd, from, 0);
                return 0;
        }
        return -errno;
}

int archive_staging_publish(
        struct ArchiveStaging *staging, const char *name, struct Failure *failure) {
        int r;

        if (fsync(staging->fd) < 0)
                return failure_set_write(failure, errno, staging->path, "write back");
        /* Power gone from here on: the leftover or the archive, each on the whole file. */
        r = rename_without_replacing(staging->parent_fd, strrchr(staging->path, '/') + 1, name);
        if (r == -EEXIST)
                return r;
        if (r < 0)
                return failure_set_write(failure, -r, staging->path, "publish");
        free(staging->path);
        staging->path = NULL; /* nothing left to discard */
        if (fsync(staging->parent_fd) < 0)
                return failure_set_write(failure, errno, name, "sync the directory of");
        return 0; /* the archive, also when power goes */
}

void archive_staging_discard(struct ArchiveStaging *staging) {
        if (staging->path) {
                /* What cannot be removed now, or was not when power went, is unlocked and goes with
                 * the next run. */
                (void) unlinkat(staging->parent_fd, strrchr(staging->path, '/') + 1, 0);
                free(staging->path);
        }
        if (staging->fd >= 0)
                (void) close(staging->fd);
        if (staging->parent_fd >= 0)
                (void) close(staging->parent_fd);
        *staging = (struct ArchiveStaging) ARCHIVE_STAGING_INIT;
}

static int remove_abandoned(const struct Operation *operation, int parent_fd, const char *name,
        uint64_t *removed, uint64_t *bytes, struct Failure *failure) {
        _cleanup_close_ int fd =
                openat(parent_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        _cleanup_free_ char *path = NULL;
        struct EventNumber number = { "ATOCORE_BYTES", 0 };
        struct stat st;

        /* Someone's work, or gone meanwhile, or no file of ours. */
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || lock_directory(fd) < 0)
                return 0;
        if (asprintf(&path, "%s/%s", operation->layout->archives, name) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        if (unlinkat(parent_fd, name, 0) < 0)
                return errno == ENOENT ? 0 : failure_set_write(failure, errno, path, "remove");
        number.value = st.st_nlink == 1 ? (uint64_t) st.st_blocks * 512 : 0;
        (*removed)++;
        *bytes += number.value;
        operation_notice(operation,
                &(const struct Event){ .id = EVENT_LEFTOVER_REMOVED,
                        .path = path,
                        .numbers = &number,
                        .n_numbers = 1 },
                "Removed %s, left by an archive that was not finished, %" PRIu64 " bytes", path,
                number.value);
        return 0;
}

int archive_staging_remove_abandoned(const struct Operation *operation, uint64_t *removed,
        uint64_t *bytes, struct Failure *failure) {
        const char *directory = operation->layout->archives;
        _cleanup_closedir_ DIR *stream = opendir(directory);
        struct dirent *entry;
        int r = 0;

        if (!stream)
                return errno == ENOENT ? 0 : failure_set_read(failure, errno, directory, "open");
        while (errno = 0, (entry = readdir(stream))) {
                int one;

                if (strncmp(entry->d_name, SNAPSHOT_PARTIAL_PREFIX,
                            sizeof SNAPSHOT_PARTIAL_PREFIX - 1) != 0)
                        continue;
                one = remove_abandoned(
                        operation, dirfd(stream), entry->d_name, removed, bytes, failure);
                r = r < 0 ? r : one;
        }
        if (errno != 0 && r >= 0)
                r = failure_set_read(failure, errno, directory, "list");
        return r;
}
