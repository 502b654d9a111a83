/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

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

static int open_parent(const struct Layout *layout, int *ret_fd, struct Failure *failure) {
        int fd, r;

        r = make_directory_at(AT_FDCWD, layout->snapshots);
        if (r < 0)
                return failure_set_write(failure, -r, layout->snapshots, "create");
        /* Its name as well, made now or by a run that was cut short: a first snapshot could go with
         * it. */
        r = sync_directory_at(AT_FDCWD, layout->backups);
        if (r < 0)
                return failure_set_write(failure, -r, layout->backups, "sync");
        fd = open(layout->snapshots, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return failure_set_write(failure, errno, layout->snapshots, "open");
        *ret_fd = fd;
        return 0;
}

/* Does `name` still lead to the directory behind `dir_fd`? */
static bool is_same_directory(int parent_fd, const char *name, int dir_fd) {
        struct stat by_name, by_fd;

        return fstatat(parent_fd, name, &by_name, AT_SYMLINK_NOFOLLOW) >= 0 &&
                fstat(dir_fd, &by_fd) >= 0 && by_name.st_dev == by_fd.st_dev &&
                by_name.st_ino == by_fd.st_ino;
}

/* -EAGAIN: a cleaner came between mkdir and lock. */
static int open_locked(int parent_fd, const char *name, int *ret_dir_fd) {
        _cleanup_close_ int dir_fd =
                openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r;

        if (dir_fd < 0)
                return errno == ENOENT ? -EAGAIN : -errno;
        r = lock_directory(dir_fd);
        if (r < 0)
                return r;
        if (!is_same_directory(parent_fd, name, dir_fd))
                return -EAGAIN;
        *ret_dir_fd = STEAL_FD(dir_fd);
        return 0;
}

/* -EAGAIN: another name is to be tried. */
static int create_locked(int parent_fd, const char *name, int *ret_dir_fd) {
        int r;

        if (mkdirat(parent_fd, name, DIRECTORY_MODE) < 0)
                return errno == EEXIST ? -EAGAIN : -errno;
        r = open_locked(parent_fd, name, ret_dir_fd);
        if (r < 0)
                (void) unlinkat(parent_fd, name, AT_REMOVEDIR);
        return r;
}

int staging_create(const struct Operation *operation, const char *stamp,
        struct Staging *ret_staging, struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        _cleanup_close_ int parent_fd = -1;
        int r;

        r = open_parent(layout, &parent_fd, failure);
        if (r < 0)
                return r;
        for (unsigned attempt = 0;; attempt++) {
                _cleanup_free_ char *path = NULL;
                uint32_t random;
                int dir_fd = -1;

                if (getrandom(&random, sizeof random, 0) != (ssize_t) sizeof random)
                        return failure_set(failure, EVENT_INTERNAL_ERROR, EIO, NULL,
                                "The kernel gave no random number for a staging directory's name");
                if (asprintf(&path, "%s/" SNAPSHOT_PARTIAL_PREFIX "%s-%08x", layout->snapshots,
                            stamp, random) < 0) {
                        path = NULL;
                        return failure_out_of_memory(failure);
                }
                r = create_locked(parent_fd, path + strlen(layout->snapshots) + 1, &dir_fd);
                if (r == -EAGAIN && attempt < CREATE_ATTEMPTS)
                        continue;
                if (r < 0)
                        return failure_set_write(failure, -r, path, "create");
                *ret_staging = (struct Staging){
                        .path = STEAL(path),
                        .dir_fd = dir_fd,
                        .parent_fd = STEAL_FD(parent_fd),
                };
                return 0;
        }
}

int staging_sync(struct Staging *staging, struct Failure *failure) {
        int r = sync_tree_at(staging->dir_fd, ".");

        return r < 0 ? failure_set_write(failure, -r, staging->path, "write back what is in") : 0;
}

int staging_publish(struct Staging *staging, const char *name, struct Failure *failure) {
        const char *own = strrchr(staging->path, '/') + 1;

        if (renameat2(staging->parent_fd, own, staging->parent_fd, name, RENAME_NOREPLACE) < 0) {
                if (errno == EEXIST)
                        return -EEXIST;
                /* A file system without RENAME_NOREPLACE. rename(2) puts a directory in the place
                 * of nothing but an empty one, and a snapshot is never empty. */
                if ((errno == EINVAL || errno == ENOSYS) &&
                        renameat(staging->parent_fd, own, staging->parent_fd, name) >= 0)
                        errno = 0;
                if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR)
                        return -EEXIST;
                if (errno != 0)
                        return failure_set_write(failure, errno, staging->path, "publish");
        }
        /* Power gone from here on: the old name or the new one, each on the whole directory; after
         * this sync the new one. */
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
        if (staging->dir_fd >= 0)
                (void) close(staging->dir_fd);
        if (staging->parent_fd >= 0)
                (void) close(staging->parent_fd);
        *staging = (struct Staging) STAGING_INIT;
}

static int remove_abandoned(const struct Operation *operation, int parent_fd, const char *name,
        uint64_t *removed, struct Failure *failure) {
        _cleanup_close_ int dir_fd =
                openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_free_ char *path = NULL;
        struct Event event = { .id = EVENT_LEFTOVER_REMOVED };
        int r;

        /* Someone's work, or gone meanwhile, or no directory of ours. */
        if (dir_fd < 0 || lock_directory(dir_fd) < 0)
                return 0;
        r = remove_tree_at(parent_fd, name);
        if (asprintf(&path, "%s/%s", operation->layout->snapshots, name) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        if (r < 0)
                return failure_set_write(failure, -r, path, "remove");
        (*removed)++;
        event.path = path;
        operation_notice(
                operation, &event, "Removed %s, left by a backup that did not finish", path);
        return 0;
}

int staging_remove_abandoned(
        const struct Operation *operation, uint64_t *ret_removed, struct Failure *failure) {
        const char *directory = operation->layout->snapshots;
        _cleanup_closedir_ DIR *stream = opendir(directory);
        uint64_t removed = 0;
        int r;

        if (!stream) {
                if (errno != ENOENT)
                        return failure_set_read(failure, errno, directory, "read the directory");
                *ret_removed = 0;
                return 0;
        }
        for (;;) {
                struct dirent *entry;

                errno = 0;
                entry = readdir(stream);
                if (!entry && errno != 0)
                        return failure_set_read(failure, errno, directory, "read the directory");
                if (!entry)
                        break;
                if (strncmp(entry->d_name, SNAPSHOT_PARTIAL_PREFIX,
                            sizeof SNAPSHOT_PARTIAL_PREFIX - 1) != 0)
                        continue;
                r = remove_abandoned(operation, dirfd(stream), entry->d_name, &removed, failure);
                if (r < 0)
                        return r;
        }
        *ret_removed = removed;
        return 0;
}
