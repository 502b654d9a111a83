/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static int status_of(int error) {
        return error > 0 ? -error : -EBADMSG;
}

int failure_set(struct Failure *failure, enum EventId event, int error, const char *path,
        const char *format, ...) {
        int saved_errno = errno;
        va_list arguments;

        if (!failure || failure_is_set(failure))
                return status_of(error);

        failure->event = event != EVENT_NONE ? event : EVENT_INTERNAL_ERROR;
        failure->error = error;
        if (path)
                failure->path = strdup(path);

        errno = error; /* what %m reads */
        va_start(arguments, format);
        if (vasprintf(&failure->message, format, arguments) < 0)
                failure->message = NULL;
        va_end(arguments);

        errno = saved_errno;
        return status_of(error);
}

/* What an operator can do about an error of an I/O call. `read` NULL: the same as `write`. */
static const struct Advice {
        int error;
        const char *write;
        const char *read;
} advices[] = {
        { ENOSPC, "free some space or enlarge the file system" },
        { EDQUOT, "free some space or raise the quota of the storage root's owner" },
        { EROFS, "the file system is mounted read-only; check it and mount it read-write" },
        { EACCES,
                "check owner and mode of it and of the directories above: the storage root's owner "
                "must be able to write there",
                "check owner and mode of it and of the directories above: the storage root's owner "
                "must be able to read it" },
        { EPERM, "check its owner and attributes (lsattr) and what the unit is allowed to write",
                "check its owner and what the unit is allowed to read" },
        { ENOENT, "the directory that it is to be in must exist",
                "check the path and that its file system is mounted" },
        { ENOTDIR, "a directory above it is none; check the path" },
        { EISDIR, "a directory is in its place; move it away", "a file is expected there" },
        { EEXIST, "move away what is in its place" },
        { ENOTEMPTY, "move away what is in its place" },
        { EFBIG, "raise the limit of file sizes (LimitFSIZE=) or use another file system",
                "it is larger than such a file can be" },
        { EIO, "check the disk and the kernel log" },
        { EUCLEAN, "the file system is damaged; check it" },
        { ENXIO, "check that the storage is still connected and mounted" },
        { ENODEV, "check that the storage is still connected and mounted" },
        { ENOTCONN, "check that the storage is still connected and mounted" },
        { ESTALE, "check that the storage is still connected and mounted" },
        { EMFILE, "raise the limit of open files (LimitNOFILE=)" },
        { ENFILE, "raise the limit of open files (fs.file-max)" },
        { ELOOP, "a symbolic link stands where none is followed; replace it by what it points to" },
        { ENAMETOOLONG, "shorten the name" },
};

static const char *advice(int error, bool write) {
        for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++)
                if (advices[i].error == error)
                        return write || !advices[i].read ? advices[i].write : advices[i].read;
        return "check the file system and the kernel log";
}

static enum EventId write_event(int error) {
        switch (error) {
        case ENOSPC:
        case EDQUOT:
                return EVENT_NO_SPACE;
        case EIO:
                return EVENT_IO_ERROR;
        default:
                return EVENT_WRITE_FAILED;
        }
}

static enum EventId read_event(int error) {
        return error == EACCES || error == EPERM ? EVENT_PERMISSION_DENIED : EVENT_READ_FAILED;
}

static int set_io(
        struct Failure *failure, int error, const char *path, const char *doing, bool write) {
        if (error == ENOMEM)
                return failure_out_of_memory(failure);
        if (error == EINTR)
                return failure_set(failure, EVENT_INTERRUPTED, error, path,
                        "Interrupted by a signal: could not %s %s; start again", doing, path);
        return failure_set(failure, write ? write_event(error) : read_event(error), error, path,
                "Cannot %s %s: %m; %s", doing, path, advice(error, write));
}

int failure_set_write(struct Failure *failure, int error, const char *path, const char *doing) {
        return set_io(failure, error, path, doing, true);
}

int failure_set_read(struct Failure *failure, int error, const char *path, const char *doing) {
        return set_io(failure, error, path, doing, false);
}

static int set_io_at(struct Failure *failure, int error, const char *directory, const char *name,
        const char *doing, bool write) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s%s%s", directory, name[0] ? "/" : "", name) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        return set_io(failure, error, path, doing, write);
}

int failure_set_write_at(struct Failure *failure, int error, const char *directory,
        const char *name, const char *doing) {
        return set_io_at(failure, error, directory, name, doing, true);
}

int failure_set_read_at(struct Failure *failure, int error, const char *directory, const char *name,
        const char *doing) {
        return set_io_at(failure, error, directory, name, doing, false);
}

/* Allocates nothing: failure_message() knows the sentence. */
int failure_out_of_memory(struct Failure *failure) {
        if (failure && !failure_is_set(failure)) {
                failure->event = EVENT_OUT_OF_MEMORY;
                failure->error = ENOMEM;
        }
        return -ENOMEM;
}

void failure_set_stamp(struct Failure *failure, const char *stamp) {
        size_t size;

        if (!failure || failure->stamp[0] != '\0')
                return;
        size = strnlen(stamp, sizeof failure->stamp - 1);
        memcpy(failure->stamp, stamp, size);
        failure->stamp[size] = '\0';
}

bool failure_is_set(const struct Failure *failure) {
        return failure && failure->event != EVENT_NONE;
}

const char *failure_message(const struct Failure *failure) {
        if (failure->message)
                return failure->message;
        if (failure->event == EVENT_OUT_OF_MEMORY)
                return "Memory ran out; raise MemoryMax= of the unit or free some memory, then try "
                       "again";
        if (failure->event == EVENT_NONE)
                return "Nothing failed";
        return "Failed, and memory ran out while saying why: see the code";
}

void failure_clear(struct Failure *failure) {
        if (!failure)
                return;
        free(failure->path);
        free(failure->message);
        *failure = (struct Failure){ 0 };
}
