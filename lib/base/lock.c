/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/base/file-io.h"

/* flock() has no deadline of its own: it is asked again, soon at first, then ten times a second. */
#define RETRY_FIRST_MS 5
#define RETRY_MAX_MS   100

#define LOCK_WAIT_MAX (UINT64_C(100) * 365 * 86400) /* its milliseconds can be added up */

/* How often a lock file may be removed or replaced while it is waited for. */
#define REPLACED_MAX 100

#define HOLDER_SIZE 128

struct Lock {
        int fd;
        enum LockMode mode;
};

/* "pid program since when", as an exclusive holder left it; "" when nobody did. */
static void read_holder(int fd, char ret_holder[HOLDER_SIZE]) {
        ssize_t n = pread(fd, ret_holder, HOLDER_SIZE - 1, 0);

        ret_holder[n > 0 ? n : 0] = '\0';
        ret_holder[strcspn(ret_holder, "\n")] = '\0';
}

/* Whether the process named in `holder` is still there (as far as this PID namespace sees). */
static bool is_alive(const char *holder) {
        long pid = strtol(holder, NULL, 10);

        return pid > 0 && (kill((pid_t) pid, 0) >= 0 || errno != ESRCH);
}

static void write_holder(int fd, const struct Operation *operation) {
        char text[HOLDER_SIZE], since[RFC3339_SIZE];
        int length;

        rfc3339_format(clock_now(operation->clock), since);
        length = snprintf(
                text, sizeof text, "%ld %s since %s\n", (long) getpid(), operation->program, since);
        /* A courtesy to whoever waits: a full disk must not fail the lock itself. */
        if (length > 0 && (size_t) length < sizeof text && ftruncate(fd, 0) >= 0)
                (void) !pwrite(fd, text, (size_t) length, 0);
}

/* Nothing is written where there is no name: validate leaves the disk as it is. */
static void erase_holder(int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0 || st.st_size > 0)
                (void) !ftruncate(fd, 0);
}

static int lock_busy(
        int fd, const char *path, const struct Operation *operation, struct Failure *failure) {
        char holder[HOLDER_SIZE];

        read_holder(fd, holder);
        if (holder[0] && is_alive(holder))
                return failure_set(failure, EVENT_LOCK_BUSY, EAGAIN, path,
                        "%s is held by %s; gave up after %" PRIu64
                        " s; try again when it has ended",
                        path, holder, operation->lock_wait);
        /* Shared holders leave no name, and a child can outlive the process that left its own. */
        return failure_set(failure, EVENT_LOCK_BUSY, EAGAIN, path,
                "%s is held by another AtoCore process%s%s%s (lslocks shows which); gave up after "
                "%" PRIu64 " s; try again when it has ended",
                path, holder[0] ? ", no longer by " : "", holder, holder[0] ? "," : "",
                operation->lock_wait);
}

static int wait_for_lock(int fd, int how, const char *path, const struct Operation *operation,
        struct Failure *failure) {
        uint64_t wait = operation->lock_wait < LOCK_WAIT_MAX ? operation->lock_wait : LOCK_WAIT_MAX;
        uint64_t deadline = monotonic_ms() + wait * 1000;
        uint64_t pause = RETRY_FIRST_MS;
        int r;

        while (flock(fd, how | LOCK_NB) < 0) {
                uint64_t now = monotonic_ms();
                struct timespec ts;

                if (errno != EWOULDBLOCK && errno != EINTR)
                        return failure_set(failure, EVENT_LOCK_FAILED, errno, path,
                                "Cannot lock %s: %m", path);
                r = operation_check(operation, failure);
                if (r < 0)
                        return r;
                if (now >= deadline)
                        return lock_busy(fd, path, operation, failure);
                if (pause > deadline - now)
                        pause = deadline - now;
                ts = (struct timespec){ .tv_sec = (time_t) (pause / 1000),
                        .tv_nsec = (long) (pause % 1000) * 1000000 };
                (void) nanosleep(&ts, NULL); /* a signal only makes us look earlier */
                pause = pause * 2 < RETRY_MAX_MS ? pause * 2 : RETRY_MAX_MS;
        }
        return 0;
}

static int open_lock_file(const char *path, const struct Layout *layout) {
        const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
        int fd = open(path, flags, FILE_MODE);

        /* data/locks holds nothing but locks, so it may be missing in a root that something else
         * made. The backup root may not: it could be a mount that is not there. */
        if (fd < 0 && errno == ENOENT && strncmp(path, layout->locks, strlen(layout->locks)) == 0 &&
                (mkdir(layout->locks, DIRECTORY_MODE) >= 0 || errno == EEXIST))
                fd = open(path, flags, FILE_MODE);
        return fd;
}

/* The descriptor, or -1 with 0 in *ret_error where no lock is needed, else an errno value. */
static int open_for(
        const char *path, enum LockMode mode, const struct Layout *layout, int *ret_error) {
        int fd = open_lock_file(path, layout), error = errno;

        if (fd < 0 && mode == LOCK_MODE_SHARED && (error == EROFS || error == EACCES)) {
                /* Media that nobody can write need no lock; a reader without write permission can
                 * still take one through a read-only descriptor. */
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
                if (fd < 0 && errno != ENOENT)
                        error = errno;
                else if (fd < 0 && error == EROFS)
                        error = 0;
        }
        *ret_error = fd < 0 ? error : 0;
        return fd;
}

/* Is `path` still the file behind `fd`? Whoever removed it made room for a second lock. */
static bool is_current(int fd, const char *path) {
        struct stat locked, named;

        return fstat(fd, &locked) >= 0 && lstat(path, &named) >= 0 &&
                locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

int lock_acquire(const char *path, enum LockMode mode, const struct Operation *operation,
        struct Lock **ret_lock, struct Failure *failure) {
        _cleanup_close_ int fd = -1;
        struct Lock *lock;
        unsigned left = REPLACED_MAX;
        int r, error;

        do {
                if (left-- == 0)
                        return failure_set(failure, EVENT_LOCK_FAILED, ESTALE, path,
                                "Cannot lock %s: it is replaced again and again; leave the lock "
                                "files alone",
                                path);
                cleanup_close(&fd);
                fd = open_for(path, mode, operation->layout, &error);
                if (error != 0)
                        return failure_set_write(failure, error, path, "open the lock file");
                if (fd < 0) {
                        *ret_lock = NULL;
                        return 0;
                }
                r = wait_for_lock(fd, mode == LOCK_MODE_EXCLUSIVE ? LOCK_EX : LOCK_SH, path,
                        operation, failure);
                if (r < 0)
                        return r;
        } while (!is_current(fd, path));

        lock = malloc(sizeof *lock);
        if (!lock)
                return failure_out_of_memory(failure);
        /* A name found under a shared lock is of a process that died: none holds it exclusively
         * now. */
        if (mode == LOCK_MODE_EXCLUSIVE)
                write_holder(fd, operation);
        else
                erase_holder(fd);
        *lock = (struct Lock){ .fd = STEAL_FD(fd), .mode = mode };
        *ret_lock = lock;
        return 0;
}

/* The parent's lock, through a descriptor of the same open file description. It is asked for
 * nothing: flock() would convert the lock for the parent as well. The name in the file is the
 * parent's, so this is released like a shared lock, which leaves it; and the lock itself stays for
 * as long as any descriptor does. */
static int inherit_store(const struct Layout *layout, const char *number, struct Lock **ret_lock,
        struct Failure *failure) {
        const char *path = layout->store_lock;
        _cleanup_close_ int fd = -1;
        struct Lock *lock;
        uint64_t inherited;

        if (config_parse_number(number, INT_MAX, &inherited) < 0)
                return failure_set(failure, EVENT_LOCK_FAILED, EINVAL, path,
                        LOCK_STORE_FD_VARIABLE
                        " is %s, which is no number of a descriptor; unset it",
                        number[0] != '\0' ? number : "empty");
        fd = fcntl((int) inherited, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (fd < 0)
                return failure_set(failure, EVENT_LOCK_FAILED, errno, path,
                        "Cannot use descriptor %s of " LOCK_STORE_FD_VARIABLE
                        " as the lock on %s: %m; unset the variable",
                        number, path);
        if (!is_current(fd, path))
                return failure_set(failure, EVENT_LOCK_FAILED, ESTALE, path,
                        "Descriptor %s of " LOCK_STORE_FD_VARIABLE
                        " is not the lock file %s; unset the variable",
                        number, path);
        lock = malloc(sizeof *lock);
        if (!lock)
                return failure_out_of_memory(failure);
        *lock = (struct Lock){ .fd = STEAL_FD(fd), .mode = LOCK_MODE_SHARED };
        *ret_lock = lock;
        return 0;
}

/* One more descriptor of the same lock: it is held until the last is closed. */
static int share(const struct Lock *lock, struct Lock **ret_lock, struct Failure *failure) {
        _cleanup_close_ int fd = fcntl(lock->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        struct Lock *shared;

        if (fd < 0)
                return failure_set(failure, EVENT_LOCK_FAILED, errno, NULL,
                        "Cannot share the lock on the database: %m; raise the limit of open files "
                        "(LimitNOFILE=)");
        shared = malloc(sizeof *shared);
        if (!shared)
                return failure_out_of_memory(failure);
        *shared = (struct Lock){ .fd = STEAL_FD(fd), .mode = LOCK_MODE_SHARED };
        *ret_lock = shared;
        return 0;
}

int lock_acquire_store(
        const struct Operation *operation, struct Lock **ret_lock, struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        const char *inherited = getenv(LOCK_STORE_FD_VARIABLE);
        _cleanup_lock_ struct Lock *gate = NULL, *lock = NULL;
        int r;

        if (operation->store_lock)
                return share(operation->store_lock, ret_lock, failure);
        if (inherited)
                return inherit_store(layout, inherited, ret_lock, failure);
        r = lock_acquire(layout->gate_lock, LOCK_MODE_SHARED, operation, &gate, failure);
        if (r < 0)
                return r;
        r = lock_acquire(layout->store_lock, LOCK_MODE_SHARED, operation, &lock, failure);
        if (r >= 0)
                r = lock_refuse_interrupted(layout, failure);
        if (r < 0)
                return r;
        *ret_lock = STEAL(lock);
        return 0;
}

int lock_acquire_backups(const struct Operation *operation, enum LockMode mode,
        struct Lock **ret_lock, struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        _cleanup_lock_ struct Lock *lock = NULL;
        int r = 0;

        if (access(layout->backups, F_OK) >= 0)
                r = lock_acquire(layout->backups_lock, mode, operation, &lock, failure);
        if (r >= 0)
                r = lock_refuse_interrupted(layout, failure);
        if (r < 0)
                return r;
        *ret_lock = STEAL(lock);
        return 0;
}

int lock_refuse_interrupted(const struct Layout *layout, struct Failure *failure) {
        int r = exists_at(AT_FDCWD, layout->restore_journal);

        /* Who may not look into data/ has only backups/ to read. */
        if (r == 0 || r == -EACCES)
                return 0;
        if (r < 0)
                return failure_set_read(failure, -r, layout->restore_journal, "examine");
        return failure_set(failure, EVENT_RESTORE_INTERRUPTED, EBUSY, layout->restore_journal,
                "A restore did not get to its end, and what is live may be a mixture; finish it "
                "with: atocore-restore --resume, or undo it with: atocore-restore --rollback");
}

int lock_fd(const struct Lock *lock) {
        return lock ? lock->fd : -1;
}

int lock_directory(int dir_fd) {
        while (flock(dir_fd, LOCK_EX | LOCK_NB) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

struct Lock *lock_release(struct Lock *lock) {
        if (!lock)
                return NULL;
        /* The name goes before the lock does, so that nobody is accused of holding it later. */
        if (lock->mode == LOCK_MODE_EXCLUSIVE)
                (void) !ftruncate(lock->fd, 0);
        (void) close(lock->fd);
        free(lock);
        return NULL;
}
