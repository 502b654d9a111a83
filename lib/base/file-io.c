/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/file-io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>

#define COPY_CHUNK        ((size_t) 256 << 10)
#define COPY_KERNEL_CHUNK ((size_t) 128 << 20) /* small enough to notice a signal between two */

void *io_buffer_new(size_t size) {
        const size_t page = 4096;

        return size > SIZE_MAX - page ? NULL : aligned_alloc(page, (size + page - 1) / page * page);
}

int write_all(int fd, const void *data, size_t size) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = write(fd, p, size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO;
                p += n;
                size -= (size_t) n;
        }
        return 0;
}

ssize_t read_all_at(int fd, void *data, size_t size, uint64_t offset) {
        size_t done = 0;

        while (done < size) {
                ssize_t n = pread(fd, (char *) data + done, size - done, (off_t) (offset + done));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                done += (size_t) n;
        }
        return (ssize_t) done;
}

int read_fd(int fd, size_t max, char **ret_data, size_t *ret_size) {
        _cleanup_free_ char *data = NULL;
        size_t size = 0, allocated;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        if (st.st_size > 0 && (uint64_t) st.st_size > max)
                return -EFBIG;

        /* One byte more than expected, to see that the file ends there; it may grow meanwhile. */
        allocated = (size_t) st.st_size + 1;
        data = malloc(allocated + 1);
        if (!data)
                return -ENOMEM;
        for (;;) {
                ssize_t n;

                if (size == allocated) {
                        size_t larger = allocated > max / 2 ? max + 1 : allocated * 2;
                        char *grown;

                        if (size > max)
                                return -EFBIG;
                        grown = realloc(data, larger + 1);
                        if (!grown)
                                return -ENOMEM;
                        data = grown;
                        allocated = larger;
                }
                n = read(fd, data + size, allocated - size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                size += (size_t) n;
        }
        if (size > max)
                return -EFBIG;
        data[size] = '\0';
        *ret_data = STEAL(data);
        *ret_size = size;
        return 0;
}

int read_file_at(int dir_fd, const char *path, size_t max, char **ret_data, size_t *ret_size) {
        /* O_NONBLOCK: a pipe of that name must not hold us up. */
        _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        return fd < 0 ? -errno : read_fd(fd, max, ret_data, ret_size);
}

int exists_at(int dir_fd, const char *path) {
        struct stat st;

        if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                return 1;
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
}

int write_new_file_at(int dir_fd, const char *name, const void *data, size_t size) {
        _cleanup_close_ int fd = openat(dir_fd, name,
                O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, FILE_MODE);
        int r;

        if (fd < 0)
                return -errno;
        r = write_all(fd, data, size);
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(dir_fd, name, 0);
        return r;
}

#define TEMPORARY_FORMAT ".%.200s.tmp-"

/* ".<name>.tmp-<16 hex digits>" beside `path`, with a long name cut so that it fits. */
static int temporary_name(const char *path, char **ret_name) {
        const char *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        uint64_t random;

        if (getrandom(&random, sizeof random, 0) != (ssize_t) sizeof random)
                return -EIO;
        if (asprintf(ret_name, "%.*s" TEMPORARY_FORMAT "%016llx", (int) (name - path), path, name,
                    (unsigned long long) random) < 0)
                return -ENOMEM;
        return 0;
}

static char *parent_of(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? strndup(path, slash == path ? 1 : (size_t) (slash - path)) : strdup(".");
}

int write_temporary_at(
        int dir_fd, const char *name, const void *data, size_t size, char **ret_temporary) {
        _cleanup_free_ char *temporary = NULL;
        int r;

        r = temporary_name(name, &temporary);
        if (r >= 0)
                r = write_new_file_at(dir_fd, temporary, data, size);
        if (r >= 0)
                *ret_temporary = STEAL(temporary);
        return r;
}

int write_file_atomic_at(int dir_fd, const char *name, const void *data, size_t size) {
        _cleanup_free_ char *temporary = NULL, *parent = parent_of(name);
        int r;

        if (!parent)
                return -ENOMEM;
        /* Power gone until the rename: the old file, and at worst a temporary one beside it. */
        r = write_temporary_at(dir_fd, name, data, size, &temporary);
        if (r < 0)
                return r;
        if (renameat(dir_fd, temporary, dir_fd, name) < 0) {
                r = -errno;
                (void) unlinkat(dir_fd, temporary, 0);
                return r;
        }
        /* Power gone from here on: the old or the new file, each whole; after this sync the new. */
        return sync_directory_at(dir_fd, parent);
}

int remove_temporaries_at(int dir_fd, const char *name) {
        const char *slash = strrchr(name, '/');
        _cleanup_free_ char *parent = parent_of(name), *prefix = NULL;
        _cleanup_close_ int fd = -1;
        _cleanup_closedir_ DIR *stream = NULL;
        struct dirent *entry;
        int length = asprintf(&prefix, TEMPORARY_FORMAT, slash ? slash + 1 : name);

        if (length < 0)
                prefix = NULL;
        if (!parent || !prefix)
                return -ENOMEM;
        fd = openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        stream = fdopendir(fd);
        if (!stream)
                return -errno;
        fd = -1; /* the stream has it now */
        while (errno = 0, (entry = readdir(stream)))
                if (strncmp(entry->d_name, prefix, (size_t) length) == 0 &&
                        unlinkat(dirfd(stream), entry->d_name, 0) < 0 && errno != ENOENT)
                        return -errno;
        return -errno;
}

int sync_directory_at(int dir_fd, const char *path) {
        _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return fsync(fd) < 0 ? -errno : 0;
}

int sync_parent(const char *path) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *parent = strndup(path, slash == path ? 1 : (size_t) (slash - path));

        return parent ? sync_directory_at(AT_FDCWD, parent) : -ENOMEM;
}

int make_directory_at(int dir_fd, const char *path) {
        struct stat st;

        if (mkdirat(dir_fd, path, DIRECTORY_MODE) >= 0)
                return 0;
        if (errno != EEXIST)
                return -errno;
        if (fstatat(dir_fd, path, &st, 0) < 0)
                return -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int make_directories(const char *base, const char *path) {
        size_t base_length = strlen(base);
        _cleanup_free_ char *partial = strdup(path);
        int r;

        if (!partial)
                return -ENOMEM;
        while (base_length > 0 && base[base_length - 1] == '/')
                base_length--;
        if (strncmp(path, base, base_length) != 0)
                return -EINVAL;
        if (path[base_length] == '\0')
                return 0;
        if (path[base_length] != '/')
                return -EINVAL;
        for (char *p = partial + base_length + 1;; p++) {
                char *slash = strchr(p, '/');

                if (slash)
                        *slash = '\0';
                r = make_directory_at(AT_FDCWD, partial);
                if (r < 0 || !slash)
                        return r;
                *slash = '/';
                p = slash;
        }
}

/* Takes `fd` over. */
static int sync_contents(int fd) {
        _cleanup_closedir_ DIR *stream = fdopendir(fd);
        struct dirent *entry;

        if (!stream) {
                int r = -errno;

                (void) close(fd);
                return r;
        }
        while (errno = 0, (entry = readdir(stream))) {
                int r;

                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                r = sync_tree_at(fd, entry->d_name);
                if (r < 0)
                        return r;
        }
        if (errno != 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

int sync_tree_at(int dir_fd, const char *name) {
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return sync_contents(STEAL_FD(fd));
        if (st.st_nlink > 1)
                return 0; /* synced where it was made */
        return fsync(fd) < 0 ? -errno : 0;
}

static int remove_tree_on(int dir_fd, const char *name, dev_t device);

/* Takes `fd` over: each level of the tree costs one descriptor. */
static int remove_contents(int fd, dev_t device) {
        _cleanup_closedir_ DIR *directory = fdopendir(fd);
        struct dirent *entry;
        int r;

        if (!directory) {
                r = -errno;
                (void) close(fd);
                return r;
        }
        for (;;) {
                errno = 0;
                entry = readdir(directory);
                if (!entry)
                        return -errno;
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                r = remove_tree_on(dirfd(directory), entry->d_name, device);
                if (r < 0)
                        return r;
        }
}

static int remove_tree_on(int dir_fd, const char *name, dev_t device) {
        _cleanup_close_ int fd = -1;
        struct stat st;
        int r;

        if (unlinkat(dir_fd, name, 0) >= 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return -errno;
        r = -errno;

        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOTDIR || errno == ELOOP ? r : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_dev != device)
                return -EXDEV;
        r = remove_contents(STEAL_FD(fd), device);
        if (r < 0)
                return r;
        return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int remove_tree_at(int dir_fd, const char *name) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        return remove_tree_on(dir_fd, name, st.st_dev);
}

/* A bind mount is not told by the device. */
bool is_same_mount(const char *directory, const char *other) {
        struct statx a, b;

        if (statx(AT_FDCWD, directory, AT_NO_AUTOMOUNT, STATX_MNT_ID, &a) < 0 ||
                statx(AT_FDCWD, other, AT_NO_AUTOMOUNT, STATX_MNT_ID, &b) < 0)
                return false;
        return a.stx_dev_major == b.stx_dev_major && a.stx_dev_minor == b.stx_dev_minor &&
                ((a.stx_mask & b.stx_mask & STATX_MNT_ID) == 0 || a.stx_mnt_id == b.stx_mnt_id);
}

/* The answers of a file system that cannot do it this way. */
static bool is_not_supported(int error) {
        return error == EXDEV || error == EOPNOTSUPP || error == EINVAL || error == EPERM ||
                error == ENOTTY || error == ENOSYS || error == EBADF || error == ETXTBSY;
}

/* 1 when done, 0 when the kernel does not copy between these two and nothing was written. */
static int copy_in_kernel(int source, int target, uint64_t *ret_bytes) {
        uint64_t total = 0;

        for (;;) {
                loff_t from = (loff_t) total, to = (loff_t) total;
                ssize_t n = copy_file_range(source, &from, target, &to, COPY_KERNEL_CHUNK, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && total == 0 && is_not_supported(errno))
                        return 0;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                total += (uint64_t) n;
        }
        *ret_bytes = total;
        return total > 0; /* some file systems copy nothing and say it is done */
}

static int copy_through_memory(int source, int target, struct Digest *digest, uint64_t *ret_bytes) {
        _cleanup_free_ char *buffer = malloc(COPY_CHUNK);
        uint64_t total = 0;
        int r;

        if (!buffer)
                return -ENOMEM;
        for (;;) {
                ssize_t n = read_all_at(source, buffer, COPY_CHUNK, total);
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        break;
                r = write_all(target, buffer, (size_t) n);
                if (r < 0)
                        return r;
                if (digest) {
                        r = digest_update(digest, buffer, (size_t) n);
                        if (r < 0)
                                return r;
                }
                total += (uint64_t) n;
        }
        *ret_bytes = total;
        return 0;
}

int copy_contents(int source, int target, struct Digest *digest, enum CopyMethod *ret_method,
        uint64_t *ret_bytes) {
        uint64_t bytes = 0;
        struct stat st;
        int r;

        if (ioctl(target, FICLONE, source) >= 0) {
                if (fstat(target, &st) < 0)
                        return -errno;
                bytes = (uint64_t) st.st_size;
                r = digest ? digest_update_fd(digest, target, &bytes) : 0;
                if (r < 0)
                        return r;
                *ret_method = COPY_CLONED;
                *ret_bytes = bytes;
                return 0;
        }
        if (!is_not_supported(errno))
                return -errno;

        /* With a digest the bytes must pass through here anyway: one pass instead of two. */
        if (!digest) {
                r = copy_in_kernel(source, target, &bytes);
                if (r < 0)
                        return r;
                if (r > 0) {
                        *ret_method = COPY_KERNEL;
                        *ret_bytes = bytes;
                        return 0;
                }
        }
        r = copy_through_memory(source, target, digest, &bytes);
        if (r < 0)
                return r;
        *ret_method = COPY_READ_WRITE;
        *ret_bytes = bytes;
        return 0;
}
