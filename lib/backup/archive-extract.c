/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/archive-extract.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/backup/archive-read.h"
#include "lib/base/file-io.h"

struct Extraction {
        int dir_fd;
        const char *dir_path;
        int fd;     /* of the file that is being written */
        char *name; /* and its path below the directory */
};

static void extraction_clear(struct Extraction *extraction) {
        free(extraction->name);
        if (extraction->fd >= 0)
                (void) close(extraction->fd);
}

/* Before anything large is written: it fits, or nothing of it is. */
static int expect(void *userdata, uint64_t bytes, struct Failure *failure) {
        const struct Extraction *extraction = userdata;
        struct statvfs fs;
        uint64_t free_bytes;

        if (fstatvfs(extraction->dir_fd, &fs) < 0)
                return failure_set_write(failure, errno, extraction->dir_path, "examine");
        free_bytes = (uint64_t) fs.f_bavail * fs.f_frsize;
        if (bytes <= free_bytes)
                return 0;
        return failure_set(failure, EVENT_NO_SPACE, ENOSPC, extraction->dir_path,
                "Cannot unpack the archive to %s: it holds %" PRIu64 " bytes, and %" PRIu64
                " are free; free some space or enlarge the file system",
                extraction->dir_path, bytes, free_bytes);
}

/* The directory of `path`, made where it is not there yet. Each step is opened by itself: a link is
 * not followed, whoever put it there. */
static int open_parent(int dir_fd, const char *path, int *ret_fd) {
        _cleanup_close_ int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);

        if (fd < 0)
                return -errno;
        for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
                _cleanup_free_ char *name = strndup(path, (size_t) (slash - path));
                int next;

                if (!name)
                        return -ENOMEM;
                if (mkdirat(fd, name, DIRECTORY_MODE) < 0 && errno != EEXIST)
                        return -errno;
                next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (next < 0)
                        return -errno;
                (void) close(fd);
                fd = next;
        }
        *ret_fd = STEAL_FD(fd);
        return 0;
}

static int begin(void *userdata, const char *path, struct Failure *failure) {
        struct Extraction *extraction = userdata;
        const char *slash = strrchr(path, '/');
        _cleanup_close_ int parent_fd = -1;
        int r;

        extraction->name = strdup(path);
        if (!extraction->name)
                return failure_out_of_memory(failure);
        r = open_parent(extraction->dir_fd, path, &parent_fd);
        if (r >= 0) {
                extraction->fd = openat(parent_fd, slash ? slash + 1 : path,
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
                r = extraction->fd < 0 ? -errno : 0;
        }
        return r < 0 ? failure_set_write_at(failure, -r, extraction->dir_path, path, "create") : 0;
}

static int data(void *userdata, const void *bytes, size_t size, struct Failure *failure) {
        struct Extraction *extraction = userdata;
        int r = write_all(extraction->fd, bytes, size);

        return r < 0
                ? failure_set_write_at(failure, -r, extraction->dir_path, extraction->name, "write")
                : 0;
}

static int end(void *userdata, const char *path, struct Failure *failure) {
        struct Extraction *extraction = userdata;
        int r = close(STEAL_FD(extraction->fd)) < 0 ? -errno : 0;

        free(extraction->name);
        extraction->name = NULL;
        return r < 0 ? failure_set_write_at(failure, -r, extraction->dir_path, path, "write") : 0;
}

int archive_extract(const struct Operation *operation, const char *path, const char *identity,
        int dir_fd, const char *dir_path, struct CheckReport **ret_report,
        struct Failure *failure) {
        _cleanup_check_report_ struct CheckReport *report = NULL;
        _cleanup_(extraction_clear) struct Extraction extraction = {
                .dir_fd = dir_fd,
                .dir_path = dir_path,
                .fd = -1,
        };
        const struct ArchiveVisitor visitor = {
                .expect = expect,
                .begin = begin,
                .data = data,
                .end = end,
                .userdata = &extraction,
        };
        int r;

        r = archive_walk(operation, path, identity, &visitor, &report, failure);
        if (r < 0)
                return r;
        if (report->valid) {
                operation_progress(operation, "Writing back what was unpacked", 0, 0);
                r = sync_tree_at(dir_fd, ".");
                if (r < 0)
                        return failure_set_write(failure, -r, dir_path, "write back what is in");
        }
        *ret_report = STEAL(report);
        return 0;
}
