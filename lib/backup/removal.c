/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/removal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/snapshot.h"
#include "lib/backup/state.h"
#include "lib/base/file-io.h"

#define BLOCK_SIZE 512 /* of st_blocks, whatever the file system's own is */

int removal_move_to_trash(int dir_fd, const char *name) {
        char trash[NAME_MAX + 1];
        int r;

        if (snprintf(trash, sizeof trash, SNAPSHOT_TRASH_PREFIX "%s", name) >= (int) sizeof trash)
                return -ENAMETOOLONG;
        r = remove_tree_at(dir_fd, trash);
        if (r < 0)
                return r;
        if (renameat(dir_fd, name, dir_fd, trash) < 0)
                return -errno;
        /* Without this the removal of what is inside could reach the disk before the new name. */
        return sync_directory_at(dir_fd, ".");
}

int removal_forget(const struct Layout *layout, int snapshots_fd,
        const struct ArchiveList *archives, const char *stamp) {
        struct stat st;

        if (snapshots_fd < 0 || fstatat(snapshots_fd, stamp, &st, AT_SYMLINK_NOFOLLOW) >= 0 ||
                errno != ENOENT || archive_list_find(archives, stamp))
                return 0;
        return state_remove(layout, stamp);
}

static uint64_t bytes_held(const struct stat *st) {
        if (!S_ISDIR(st->st_mode) && st->st_nlink > 1)
                return 0; /* another snapshot has it too */
        return (uint64_t) st->st_blocks * BLOCK_SIZE;
}

/* What cannot be looked at counts for nothing: removing it will say why. */
static uint64_t measure(int dir_fd, const char *name) {
        _cleanup_close_ int fd = -1, own = -1;
        _cleanup_closedir_ DIR *stream = NULL;
        struct dirent *entry;
        struct stat st;
        uint64_t bytes;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        bytes = bytes_held(&st);
        if (!S_ISDIR(st.st_mode))
                return bytes;
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        own = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
        stream = own < 0 ? NULL : fdopendir(own);
        if (!stream)
                return bytes;
        own = -1; /* the stream has it now */
        while ((entry = readdir(stream)))
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        bytes += measure(fd, entry->d_name);
        return bytes;
}

int removal_remove_tree(int dir_fd, const char *name, uint64_t *ret_bytes) {
        uint64_t bytes = measure(dir_fd, name);
        int r = remove_tree_at(dir_fd, name);

        if (r < 0)
                return r;
        *ret_bytes = bytes;
        return 0;
}

int removal_remove_file(int dir_fd, const char *name, uint64_t *ret_bytes) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || unlinkat(dir_fd, name, 0) < 0)
                return -errno;
        *ret_bytes = bytes_held(&st);
        return 0;
}
