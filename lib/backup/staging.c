/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "lib/backup/removal.h"
#include "lib/backup/snapshot.h"
#include "lib/base/file-io.h"
#include "lib/base/lock.h"

#define CREATE_ATTEMPTS 16

int staging_check_root(const struct Layout *layout, struct Failure *failure) {
        struct stat st;

        if (stat(layout->backups, &st) < 0) {
                if (errno != ENOENT)
                        return failure_set_write(failure, errno, layout->backups, "examine");
                return failure_set(failure, EVENT_BACKUP_ROOT_MISSING, ENOENT, layout->backups,
                        "The backup root %s does not exist; mount its file system, or create it "
                        "with: install -d -m 0750 -o atocore -g atocore %s",
                        layout->backups, layout->backups);
        }
        if (!S_ISDIR(st.st_mode))
                return failure_set_write(failure, ENOTDIR, layout->backups, "write below");
        return 0;
}

static int open_parent(const char *directory, int *ret_fd, struct Failure *failure) {
        _cleanup_free_ char *above =
                strndup(directory, (size_t) (strrchr(directory, '/') - directory));
        int fd, r;

        if (!above)
                return failure_out_of_memory(failure);
        r = make_directory_at(AT_FDCWD, directory);
        if (r < 0)
                return failure_set_write(failure, -r, directory, "create");
        /* Its name as well, made now or by a run that was cut short: what is published first could
         * go with it. */
        r = sync_directory_at(AT_FDCWD, above);
        if (r < 0)
                return failure_set_write(failure, -r, above, "sync");
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return failure_set_write(failure, errno, directory, "open");
        *ret_fd = fd;
        return 0;
}

/* Does `name` still lead to what is behind `fd`? */
static bool is_same(int parent_fd, const char *name, int fd) {
        struct stat by_name, by_fd;

        return fstatat(parent_fd, name, &by_name, AT_SYMLINK_NOFOLLOW) >= 0 &&
                fstat(fd, &by_fd) >= 0 && by_name.st_dev == by_fd.st_dev &&
                by_name.st_ino == by_fd.st_ino;
}

/* -EAGAIN: another name is to be tried, because this one is taken, or a cleaner came between the
 * creation and the lock. */
static int create_locked(int parent_fd, const char *name, enum StagingKind kind, int *ret_fd) {
        const bool directory = kind == STAGING_DIRECTORY;
        _cleanup_close_ int fd = -1;
        int r = 0;

        if (directory && mkdirat(parent_fd, name, DIRECTORY_MODE) < 0)
                return errno == EEXIST ? -EAGAIN : -errno;
        fd = directory
                ? openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                : openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
        if (fd < 0 && !directory)
                return errno == EEXIST ? -EAGAIN : -errno;
        if (fd < 0)
                r = errno == ENOENT ? -EAGAIN : -errno;
        if (r >= 0)
                r = lock_directory(fd);
        if (r >= 0 && !is_same(parent_fd, name, fd))
                r = -EAGAIN;
        if (r < 0) {
                (void) unlinkat(parent_fd, name, directory ? AT_REMOVEDIR : 0);
                return r;
        }
        *ret_fd = STEAL_FD(fd);
        return 0;
}

int staging_create(const char *directory, enum StagingKind kind, const char *stamp,
        struct Staging *ret_staging, struct Failure *failure) {
        _cleanup_close_ int parent_fd = -1;
        int r;

        r = open_parent(directory, &parent_fd, failure);
        if (r < 0)
                return r;
        for (unsigned attempt = 0;; attempt++) {
                _cleanup_free_ char *path = NULL;
                uint32_t random;
                int fd = -1;

                if (getrandom(&random, sizeof random, 0) != (ssize_t) sizeof random)
                        return failure_set(failure, EVENT_INTERNAL_ERROR, EIO, NULL,
                                "The kernel gave no random number for a name in %s", directory);
                if (asprintf(&path, "%s/" SNAPSHOT_PARTIAL_PREFIX "%s-%08x", directory, stamp,
                            random) < 0) {
                        path = NULL;
                        return failure_out_of_memory(failure);
                }
                r = create_locked(parent_fd, path + strlen(directory) + 1, kind, &fd);
                if (r == -EAGAIN && attempt < CREATE_ATTEMPTS)
                        continue;
                if (r < 0)
                        return failure_set_write(failure, -r, path, "create");
                *ret_staging = (struct Staging){
                        .kind = kind,
                        .path = STEAL(path),
                        .fd = fd,
                        .parent_fd = STEAL_FD(parent_fd),
                };
                return 0;
        }
}

int staging_sync(struct Staging *staging, struct Failure *failure) {
        int r;

        if (staging->kind == STAGING_DIRECTORY)
                r = sync_tree_at(staging->fd, ".");
        else
                r = fsync(staging->fd) < 0 ? -errno : 0;
        return r < 0 ? failure_set_write(failure, -r, staging->path, "write back what is in") : 0;
}

static int rename_without_replacing(const struct Staging *staging, const char *name) {
        const char *own = strrchr(staging->path, '/') + 1;
        const int parent_fd = staging->parent_fd;

        if (renameat2(parent_fd, own, parent_fd, name, RENAME_NOREPLACE) >= 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -errno;
        /* A file system without RENAME_NOREPLACE. A link does not replace either; if power goes
         * between the two the file has both names, and the next run removes the first. */
        if (staging->kind == STAGING_FILE) {
                if (linkat(parent_fd, own, parent_fd, name, 0) < 0)
                        return -errno;
                (void) unlinkat(parent_fd, own, 0);
                return 0;
        }
        /* rename(2) puts a directory in the place of nothing but an empty one, and what is
         * published is never empty. */
        if (renameat(parent_fd, own, parent_fd, name) >= 0)
                return 0;
        return errno == ENOTEMPTY || errno == ENOTDIR ? -EEXIST : -errno;
}

int staging_publish(struct Staging *staging, const char *name, struct Failure *failure) {
        int r = rename_without_replacing(staging, name);

        if (r == -EEXIST)
                return r;
        if (r < 0)
                return failure_set_write(failure, -r, staging->path, "publish");
        /* Power gone from here on: the old name or the new one, each on the whole of it; after this
         * sync the new one. */
        free(staging->path);
        staging->path = NULL; /* nothing left to discard */
        if (fsync(staging->parent_fd) < 0)
                return failure_set_write(failure, errno, name, "sync the directory of");
        return 0;
}

void staging_discard(struct Staging *staging) {
        if (staging->path) {
                /* What cannot be removed now, or was not when power went, is unlocked and goes with
                 * the next run. */
                (void) remove_tree_at(staging->parent_fd, strrchr(staging->path, '/') + 1);
                free(staging->path);
        }
        if (staging->fd >= 0)
                (void) close(staging->fd);
        if (staging->parent_fd >= 0)
                (void) close(staging->parent_fd);
        *staging = (struct Staging) STAGING_INIT;
}

static int remove_abandoned(const struct Operation *operation, const char *directory, int parent_fd,
        const char *name, uint64_t *removed, uint64_t *bytes, struct Failure *failure) {
        _cleanup_close_ int fd =
                openat(parent_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct EventNumber number = { "ATOCORE_BYTES", 0 };
        _cleanup_free_ char *path = NULL;
        struct stat st;
        int r;

        /* Someone's work, or gone meanwhile, or nothing of ours. */
        if (fd < 0 || fstat(fd, &st) < 0 || (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) ||
                lock_directory(fd) < 0)
                return 0;
        if (asprintf(&path, "%s/%s", directory, name) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        r = removal_remove_tree(parent_fd, name, &number.value);
        if (r < 0)
                return failure_set_write(failure, -r, path, "remove");
        (*removed)++;
        *bytes += number.value;
        operation_notice(operation,
                &(const struct Event){ .id = EVENT_LEFTOVER_REMOVED,
                        .path = path,
                        .numbers = &number,
                        .n_numbers = 1 },
                "Removed %s, left by a run that did not finish, %" PRIu64 " bytes", path,
                number.value);
        return 0;
}

int staging_remove_abandoned(const struct Operation *operation, const char *directory,
        uint64_t *removed, uint64_t *bytes, struct Failure *failure) {
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
                one = remove_abandoned(operation, directory, dirfd(stream), entry->d_name, removed,
                        bytes, failure);
                r = r < 0 ? r : one;
        }
        if (errno != 0 && r >= 0)
                r = failure_set_read(failure, errno, directory, "list");
        return r;
}

void staging_clean_up(const struct Operation *operation, const char *directory) {
        _cleanup_failure_ struct Failure why = { 0 };
        uint64_t removed = 0, bytes = 0;

        if (staging_remove_abandoned(operation, directory, &removed, &bytes, &why) < 0)
                operation_notice(operation,
                        &(const struct Event){
                                .id = EVENT_BACKUP_WARNING, .path = why.path, .error = why.error },
                        "%s", failure_message(&why));
}
