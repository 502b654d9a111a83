/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/tree-copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/file-io.h"

/* One entry: where it is, where it goes, and what it shall look like. */
struct Entry {
        int source_fd; /* of the directory that it is in */
        int target_fd;
        const char *source_name;
        const char *target_name;
        const char *path; /* relative to the source of all */
        const char *like; /* absolute */
};

static char *join(const char *directory, const char *name) {
        char *path;

        return asprintf(&path, "%s%s%s", directory, directory[0] ? "/" : "", name) < 0 ? NULL
                                                                                       : path;
}

static int cannot_read(const struct TreeCopy *copy, const char *path, struct Failure *failure) {
        return failure_set_read_at(failure, errno, copy->source, path, "read");
}

static int cannot_write(const struct TreeCopy *copy, const char *path, struct Failure *failure) {
        return failure_set_write_at(failure, errno, copy->source, path, "write the copy of");
}

static int not_sealed(const struct TreeCopy *copy, const char *path, const char *problem,
        struct Failure *failure) {
        _cleanup_free_ char *full = join(copy->source, path);

        return failure_set(failure, EVENT_SNAPSHOT_INVALID, EBADMSG, full,
                "%s/%s %s; nothing was changed: see what atocore-validate says, and take another "
                "snapshot",
                copy->source, path, problem);
}

/* Owner and mode of what is at `like`. A file of another owner is only made by root, which we are
 * not any more: then it stays ours, and that is told. */
static int adopt(
        const struct Operation *operation, int fd, const char *like, struct Failure *failure) {
        struct stat model, own;

        if (lstat(like, &model) < 0 || fstat(fd, &own) < 0 ||
                (model.st_mode & S_IFMT) != (own.st_mode & S_IFMT))
                return 0;
        if ((model.st_uid != own.st_uid || model.st_gid != own.st_gid) &&
                fchown(fd, model.st_uid, model.st_gid) < 0)
                operation_notice(operation,
                        &(const struct Event){
                                .id = EVENT_RESTORE_WARNING, .path = like, .error = errno },
                        "%s belongs to another user than AtoCore runs as, and what takes its place "
                        "will not: %m",
                        like);
        if ((model.st_mode & 07777) != (own.st_mode & 07777) &&
                fchmod(fd, model.st_mode & 07777) < 0)
                return failure_set_write(failure, errno, like, "take over the mode of");
        return 0;
}

static int compare(const struct TreeCopy *copy, const char *path, struct Digest *digest,
        struct Failure *failure) {
        const struct ManifestEntry *entry = manifest_find(copy->manifest, path);
        char hex[DIGEST_HEX_SIZE];

        if (digest_finish(digest, hex) < 0)
                return failure_out_of_memory(failure);
        if (!entry)
                return not_sealed(copy, path, "is not listed in " MANIFEST_NAME, failure);
        if (strcmp(hex, entry->digest) != 0)
                return not_sealed(
                        copy, path, "does not have the checksum of " MANIFEST_NAME, failure);
        return 0;
}

static int copy_file(struct TreeCopy *copy, const struct Entry *entry, struct Failure *failure) {
        _cleanup_digest_ struct Digest *digest = NULL;
        _cleanup_close_ int source = -1, target = -1;
        enum CopyMethod method;
        uint64_t bytes;
        int r;

        if (copy->manifest && digest_new(&digest) < 0)
                return failure_out_of_memory(failure);
        source = openat(entry->source_fd, entry->source_name,
                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (source < 0)
                return cannot_read(copy, entry->path, failure);
        target = openat(entry->target_fd, entry->target_name,
                O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
        if (target < 0)
                return cannot_write(copy, entry->path, failure);
        r = copy_contents(source, target, digest, &method, &bytes);
        if (r < 0)
                return failure_set_write_at(failure, -r, copy->source, entry->path, "copy");
        if (digest) {
                r = compare(copy, entry->path, digest, failure);
                if (r < 0)
                        return r;
        }
        r = adopt(copy->operation, target, entry->like, failure);
        if (r < 0)
                return r;
        if (!copy->later && fsync(target) < 0)
                return cannot_write(copy, entry->path, failure);
        copy->done += bytes;
        copy->cloned += method == COPY_CLONED ? bytes : 0;
        operation_progress(copy->operation, copy->doing, copy->done, copy->total);
        return 0;
}

static int copy_link(
        const struct TreeCopy *copy, const struct Entry *entry, struct Failure *failure) {
        char text[PATH_MAX];
        ssize_t n = readlinkat(entry->source_fd, entry->source_name, text, sizeof text - 1);

        if (n < 0)
                return cannot_read(copy, entry->path, failure);
        text[n] = '\0';
        return symlinkat(text, entry->target_fd, entry->target_name) < 0
                ? cannot_write(copy, entry->path, failure)
                : 0;
}

static int copy_entry(struct TreeCopy *copy, const struct Entry *entry, struct Failure *failure);

static int copy_below(struct TreeCopy *copy, DIR *stream, int target_fd, const struct Entry *parent,
        struct Failure *failure) {
        struct dirent *found;

        while (errno = 0, (found = readdir(stream))) {
                _cleanup_free_ char *path = NULL, *like = NULL;
                int r;

                if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
                        continue;
                path = join(parent->path, found->d_name);
                like = join(parent->like, found->d_name);
                if (!path || !like)
                        return failure_out_of_memory(failure);
                r = copy_entry(copy,
                        &(const struct Entry){ dirfd(stream), target_fd, found->d_name,
                                found->d_name, path, like },
                        failure);
                if (r < 0)
                        return r;
        }
        return errno != 0 ? cannot_read(copy, parent->path, failure) : 0;
}

static int copy_directory(
        struct TreeCopy *copy, const struct Entry *entry, struct Failure *failure) {
        _cleanup_close_ int fd = openat(entry->source_fd, entry->source_name,
                                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                            target_fd = -1;
        _cleanup_closedir_ DIR *stream = fd < 0 ? NULL : fdopendir(fd);
        int r;

        if (!stream)
                return cannot_read(copy, entry->path, failure);
        fd = -1; /* the stream has it now */
        if (mkdirat(entry->target_fd, entry->target_name, DIRECTORY_MODE) < 0)
                return cannot_write(copy, entry->path, failure);
        target_fd = openat(entry->target_fd, entry->target_name,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (target_fd < 0)
                return cannot_write(copy, entry->path, failure);
        r = copy_below(copy, stream, target_fd, entry, failure);
        if (r < 0)
                return r;
        r = adopt(copy->operation, target_fd, entry->like, failure);
        if (r < 0)
                return r;
        return fsync(target_fd) < 0 ? cannot_write(copy, entry->path, failure) : 0;
}

static int copy_entry(struct TreeCopy *copy, const struct Entry *entry, struct Failure *failure) {
        struct stat st;
        int r;

        r = operation_check(copy->operation, failure);
        if (r < 0)
                return r;
        if (fstatat(entry->source_fd, entry->source_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return cannot_read(copy, entry->path, failure);
        if (S_ISREG(st.st_mode))
                return copy_file(copy, entry, failure);
        if (S_ISDIR(st.st_mode))
                return copy_directory(copy, entry, failure);
        if (S_ISLNK(st.st_mode) && copy->links)
                return copy_link(copy, entry, failure);
        if (copy->manifest && !copy->links)
                return not_sealed(copy, entry->path, "is neither file nor directory", failure);
        operation_notice(copy->operation,
                &(const struct Event){ .id = EVENT_RESTORE_WARNING, .path = entry->path },
                "%s/%s is neither file nor directory and is left out", copy->source, entry->path);
        return 0;
}

/* What is listed and was not there to be copied shows as a sum that does not come out. */
static int check_complete(const struct TreeCopy *copy, const char *path, const char *target,
        struct Failure *failure) {
        size_t length = strlen(path);

        for (size_t i = 0; copy->manifest && i < copy->manifest->n_entries; i++) {
                const char *listed = copy->manifest->entries[i].path;
                _cleanup_free_ char *copied = NULL;
                struct stat st;

                if (strncmp(listed, path, length) != 0 ||
                        (listed[length] != '\0' && listed[length] != '/'))
                        continue;
                if (asprintf(&copied, "%s%s", target, listed + length) < 0) {
                        copied = NULL;
                        return failure_out_of_memory(failure);
                }
                if (lstat(copied, &st) < 0)
                        return not_sealed(copy, listed, "is listed and not there", failure);
        }
        return 0;
}

int tree_copy(struct TreeCopy *copy, const char *path, const char *target, const char *like,
        struct Failure *failure) {
        _cleanup_close_ int source_fd =
                open(copy->source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r;

        if (source_fd < 0)
                return failure_set_read(failure, errno, copy->source, "open");
        r = copy_entry(copy, &(const struct Entry){ source_fd, AT_FDCWD, path, target, path, like },
                failure);
        return r < 0 ? r : check_complete(copy, path, target, failure);
}

/* Files and directories below `path`, each before the directory that it is in. */
int tree_adopt(const struct Operation *operation, const char *path, const char *like,
        struct Failure *failure) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        _cleanup_closedir_ DIR *stream = NULL;
        struct dirent *found;
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return failure_set_read(failure, errno, path, "open");
        if (S_ISDIR(st.st_mode)) {
                stream = opendir(path);
                if (!stream)
                        return failure_set_read(failure, errno, path, "read the directory");
        }
        while (stream && (errno = 0, (found = readdir(stream)))) {
                _cleanup_free_ char *below = NULL, *like_below = NULL;

                if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
                        continue;
                below = join(path, found->d_name);
                like_below = join(like, found->d_name);
                if (!below || !like_below)
                        return failure_out_of_memory(failure);
                r = tree_adopt(operation, below, like_below, failure);
                if (r < 0)
                        return r;
        }
        if (stream && errno != 0)
                return failure_set_read(failure, errno, path, "read the directory");
        r = adopt(operation, fd, like, failure);
        if (r < 0)
                return r;
        return fsync(fd) < 0 ? failure_set_write(failure, errno, path, "write back") : 0;
}

static uint64_t size_at(int dir_fd, const char *name) {
        _cleanup_closedir_ DIR *stream = NULL;
        _cleanup_close_ int fd = -1;
        struct dirent *found;
        uint64_t bytes = 0;
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (!S_ISDIR(st.st_mode))
                return S_ISREG(st.st_mode) ? (uint64_t) st.st_size : 0;
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        stream = fd < 0 ? NULL : fdopendir(fd);
        if (!stream)
                return 0;
        fd = -1; /* the stream has it now */
        while ((found = readdir(stream)))
                if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
                        bytes += size_at(dirfd(stream), found->d_name);
        return bytes;
}

uint64_t tree_size(const char *path) {
        return size_at(AT_FDCWD, path);
}
