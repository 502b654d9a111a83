/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/safety-seal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/backup/manifest.h"
#include "lib/backup/restore-safety.h"
#include "lib/base/digest.h"
#include "lib/base/file-io.h"
#include "lib/base/lock.h"

struct Seal {
        const struct Operation *operation;
        const char *path; /* of the safety snapshot */
        int dir_fd;
        struct Manifest *manifest;
        uint64_t bytes;
};

static void seal_clear(struct Seal *seal) {
        manifest_free(seal->manifest);
        if (seal->dir_fd >= 0)
                (void) close(seal->dir_fd);
}

static int cannot_read(const struct Seal *seal, const char *name, struct Failure *failure) {
        return failure_set_read_at(failure, errno, seal->path, name, "read");
}

static int hash_file(struct Seal *seal, const char *name, struct Failure *failure) {
        _cleanup_close_ int fd =
                openat(seal->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        char digest[DIGEST_HEX_SIZE];
        uint64_t size = 0;
        int r = fd < 0 ? -errno : digest_fd(fd, digest, &size);

        if (r < 0) {
                errno = -r;
                return cannot_read(seal, name, failure);
        }
        seal->bytes += size;
        return manifest_add(seal->manifest, name, digest) < 0 ? failure_out_of_memory(failure) : 0;
}

/* What is neither file nor directory has no bytes to hash. `path` is "" for the whole. */
static int hash_tree(struct Seal *seal, const char *path, struct Failure *failure) {
        _cleanup_close_ int fd = openat(seal->dir_fd, path[0] ? path : ".",
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_closedir_ DIR *stream = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!stream)
                return cannot_read(seal, path, failure);
        fd = -1; /* the stream has it now */
        while (errno = 0, (entry = readdir(stream))) {
                _cleanup_free_ char *name = NULL;
                struct stat st;
                int r;

                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                r = operation_check(seal->operation, failure);
                if (r < 0)
                        return r;
                if (asprintf(&name, "%s%s%s", path, path[0] ? "/" : "", entry->d_name) < 0) {
                        name = NULL;
                        return failure_out_of_memory(failure);
                }
                if (fstatat(seal->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return cannot_read(seal, name, failure);
                if (S_ISDIR(st.st_mode))
                        r = hash_tree(seal, name, failure);
                else if (S_ISREG(st.st_mode))
                        r = hash_file(seal, name, failure);
                if (r < 0)
                        return r;
        }
        return errno != 0 ? cannot_read(seal, path, failure) : 0;
}

/* Power gone at any time: it has its checksums or none, and the next run sees which. */
static int write_checksums(struct Seal *seal, struct Failure *failure) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        manifest_sort(seal->manifest);
        if (manifest_format(seal->manifest, &text, &size) < 0)
                return failure_out_of_memory(failure);
        r = write_file_atomic_at(seal->dir_fd, MANIFEST_NAME, text, size);
        return r < 0 ? failure_set_write_at(failure, -r, seal->path, MANIFEST_NAME, "write") : 0;
}

/* 1: it has its checksums, or somebody else is at it. The lock goes with the descriptor. */
static int begin(struct Seal *seal, struct Failure *failure) {
        int r;

        seal->manifest = manifest_new();
        if (!seal->manifest)
                return failure_out_of_memory(failure);
        seal->dir_fd = open(seal->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (seal->dir_fd < 0)
                return cannot_read(seal, "", failure);
        if (flock(seal->dir_fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? 1
                                            : failure_set(failure, EVENT_LOCK_FAILED, errno,
                                                      seal->path, "Cannot lock %s: %m", seal->path);
        r = exists_at(seal->dir_fd, MANIFEST_NAME);
        if (r != 0) {
                errno = -r;
                return r < 0 ? cannot_read(seal, MANIFEST_NAME, failure) : 1;
        }
        /* Of one that was killed. */
        r = remove_temporaries_at(seal->dir_fd, MANIFEST_NAME);
        return r < 0 ? failure_set_write_at(
                               failure, -r, seal->path, MANIFEST_NAME, "remove what is left beside")
                     : 0;
}

static int seal_one(const struct Operation *operation, const char *stamp, struct Failure *failure) {
        _cleanup_free_ char *path = NULL;
        _cleanup_(seal_clear) struct Seal seal = { .operation = operation, .dir_fd = -1 };
        int r;

        if (asprintf(&path, "%s/%s", operation->layout->pre_restore, stamp) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        seal.path = path;
        r = begin(&seal, failure);
        if (r != 0)
                return r < 0 ? r : 0;
        r = hash_tree(&seal, "", failure);
        if (r < 0 || seal.manifest->n_entries == 0)
                return r;
        r = write_checksums(&seal, failure);
        if (r < 0)
                return r;
        operation_notice(operation,
                &(const struct Event){ .id = EVENT_SAFETY_SEALED,
                        .stamp = stamp,
                        .path = path,
                        .numbers = &(const struct EventNumber){ "ATOCORE_BYTES", seal.bytes },
                        .n_numbers = 1 },
                "Safety snapshot %s has its checksums now: %" PRIu64 " bytes in %zu files", stamp,
                seal.bytes, seal.manifest->n_entries);
        return 0;
}

int safety_seal_all(const struct Operation *operation, struct Failure *failure) {
        _cleanup_lock_ struct Lock *lock = NULL;
        _cleanup_free_ char(*stamps)[STAMP_SIZE] = NULL;
        size_t n;
        int r;

        r = lock_acquire_backups(operation, LOCK_MODE_SHARED, &lock, failure);
        if (r >= 0)
                r = restore_safety_list(operation->layout, &stamps, &n, failure);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                _cleanup_failure_ struct Failure why = { 0 };
                int one = seal_one(operation, stamps[i], &why);

                if (one >= 0 || one == -EROFS) /* media that nobody writes on need none */
                        continue;
                if (r >= 0 || one == -EINTR || one == -ENOMEM)
                        r = failure_set(failure, why.event, why.error, why.path, "%s",
                                failure_message(&why));
                if (one == -EINTR || one == -ENOMEM)
                        break;
        }
        return r;
}
