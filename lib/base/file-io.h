/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Files as they have to be handled where power may go at any time: complete reads and writes,
 * atomic replacement, fsync of file and directory. All return 0 or -errno, retry EINTR and short
 * counts, and open with O_CLOEXEC. `dir_fd` may be AT_FDCWD.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/digest.h"

#define FILE_MODE      0640
#define DIRECTORY_MODE 0750

/* A buffer to read files into, free() it. It begins where a page does: the kernel takes twice as
 * long to copy to anywhere else. NULL when memory ran out. */
#define IO_BUFFER_SIZE ((size_t) 256 << 10)
void *io_buffer_new(size_t size);

int write_all(int fd, const void *data, size_t size);
/* As many bytes as there are from `offset` on: less than `size` at the end of the file only. The
 * file offset stays. The number, or -errno. */
ssize_t read_all_at(int fd, void *data, size_t size, uint64_t offset);

/* The whole regular file, with a NUL behind it that is not counted. -EFBIG when it is larger than
 * `max`, -EISDIR or -EINVAL when it is no regular file. Symlinks are followed. */
int read_file_at(int dir_fd, const char *path, size_t max, char **ret_data, size_t *ret_size);
/* The same of an open file, from where it stands. */
int read_fd(int fd, size_t max, char **ret_data, size_t *ret_size);

/* 1 when there is something of that name, be it a link to nowhere; 0 when there is not; else it
 * cannot be told: -errno. */
int exists_at(int dir_fd, const char *path);

/* Creates `name` (which must not exist: -EEXIST), writes and fsyncs it. On failure nothing is left
 * of it. The directory is not synced: a caller that makes many files syncs once. If power goes
 * before that the file may be absent, and before this returned, cut short. */
int write_new_file_at(int dir_fd, const char *name, const void *data, size_t size);

/* Replaces `name` (a plain file name or a path) by temporary file, fsync, rename, fsync of the
 * directory: after a crash it holds the old or the new content, whole. */
int write_file_atomic_at(int dir_fd, const char *name, const void *data, size_t size);

/* The first step of that, for who has more to do before the rename: a file of its own beside
 * `name`, written and synced; its directory is not. The caller renames or unlinks it. */
int write_temporary_at(
        int dir_fd, const char *name, const void *data, size_t size, char **ret_temporary);

/* Removes what write_file_atomic_at() left beside `name` when it was killed. For who knows that
 * nobody is writing it. An absent directory is fine. */
int remove_temporaries_at(int dir_fd, const char *name);

/* fsync of the directory `path`, or of dir_fd itself for ".". */
int sync_directory_at(int dir_fd, const char *path);
/* The same for the directory that the absolute `path` is in. */
int sync_parent(const char *path);

/* fsync of all files and directories below and of `name` itself, last. What is neither of them is
 * an error; files with further links are taken for linked from elsewhere and synced there. */
int sync_tree_at(int dir_fd, const char *name);

/* mkdir with DIRECTORY_MODE; an existing directory is fine (-ENOTDIR when it is none). */
int make_directory_at(int dir_fd, const char *path);
/* The same for all of `path` below its beginning `base`, which must exist; -EINVAL when it does not
 * begin with it. */
int make_directories(const char *base, const char *path);

/* A directory entry and all below it; never follows a link, never leaves the file system it
 * starts on (-EXDEV). Absent is fine. If power goes, any part of the tree may be left: it is for
 * what has no name that anybody reads. */
int remove_tree_at(int dir_fd, const char *name);

/* Whether rename(2) leads from one directory to the other: the file system is the same, and it is
 * reached by the same mount. Of files that is no question: on an overlay their st_dev is not that
 * of the directory they are in. */
bool is_same_mount(const char *directory, const char *other);

enum CopyMethod {
        COPY_CLONED,     /* FICLONE: shares the blocks */
        COPY_LINKED,     /* hard link; not done by copy_contents() */
        COPY_KERNEL,     /* copy_file_range(2) */
        COPY_READ_WRITE, /* through user space */
};

/* Copies all of `source` to the empty file `target`, by the first method that the file systems
 * take. With `digest` the bytes are fed to it on the way (what was written is what was hashed:
 * after a clone the target is read back). */
int copy_contents(int source, int target, struct Digest *digest, enum CopyMethod *ret_method,
        uint64_t *ret_bytes);
