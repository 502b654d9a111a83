/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/file-replace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/base/file-io.h"

int file_text_read(const char *path, size_t max, struct FileText *ret_read) {
        _cleanup_close_ int fd =
                open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
        struct FileText read = { 0 };
        int r;

        if (fd < 0 && errno != ENOENT)
                return -errno;
        if (fd >= 0) {
                if (fstat(fd, &read.status) < 0)
                        return -errno;
                r = read_fd(fd, max, &read.text, &read.size);
                if (r < 0)
                        return r;
        }
        *ret_read = read;
        return 0;
}

void file_text_clear(struct FileText *read) {
        free(read->text);
        *read = (struct FileText){ 0 };
}

/* 0 where `path` holds what was read, -ESTALE where it does not. */
static int compare(const struct FileText *read, const char *path) {
        _cleanup_file_text_ struct FileText now = { 0 };
        int r;

        r = file_text_read(path, read->size, &now);
        if (r == -EFBIG || r == -ELOOP || r == -EISDIR || r == -EINVAL)
                return -ESTALE;
        if (r < 0)
                return r;
        if (!now.text || !read->text)
                return now.text == read->text ? 0 : -ESTALE;
        return now.size == read->size && memcmp(now.text, read->text, now.size) == 0 ? 0 : -ESTALE;
}

/* The owner first: chown(2) takes the bits away that a mode may have had. */
static int adopt(const struct stat *model, const char *temporary, bool *ret_kept) {
        _cleanup_close_ int fd = open(temporary, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct stat own;

        *ret_kept = true;
        if (fd < 0 || fstat(fd, &own) < 0)
                return -errno;
        if (own.st_gid != model->st_gid && fchown(fd, (uid_t) -1, model->st_gid) < 0)
                *ret_kept = false;
        if (own.st_uid != model->st_uid && fchown(fd, model->st_uid, (gid_t) -1) < 0)
                *ret_kept = false;
        if ((own.st_mode & 07777) != (model->st_mode & 07777) &&
                fchmod(fd, model->st_mode & 07777) < 0)
                return -errno;
        return fsync(fd) < 0 ? -errno : 0;
}

/* `expected` NULL: whatever is at `path` is replaced.
 *
 * Power gone until the rename: the old file, and at worst a temporary one beside it, which the next
 * who writes removes. From the rename on: the old or the new file, each whole; after the sync the
 * new. The comparison is the last thing before the rename, when all that takes time is done: an
 * editor would have to come in between these two calls. */
static int put(const struct FileText *model, const char *path, const void *data, size_t size,
        const struct FileText *expected, bool *ret_kept) {
        _cleanup_free_ char *temporary = NULL;
        bool kept = true;
        int r;

        r = write_temporary_at(AT_FDCWD, path, data, size, &temporary);
        if (r < 0)
                return r;
        r = model->text ? adopt(&model->status, temporary, &kept) : 0;
        if (r >= 0)
                r = expected ? compare(expected, path) : 0;
        if (r >= 0 && rename(temporary, path) < 0)
                r = -errno;
        if (r < 0) {
                (void) unlink(temporary);
                return r;
        }
        *ret_kept = kept;
        return sync_parent(path);
}

int file_text_copy(const struct FileText *read, const char *path, bool *ret_kept) {
        return put(read, path, read->text, read->size, NULL, ret_kept);
}

int file_text_replace(const struct FileText *read, const char *path, const void *data, size_t size,
        bool *ret_kept) {
        return put(read, path, data, size, read, ret_kept);
}
