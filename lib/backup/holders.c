/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/holders.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "lib/base/file-io.h"

#define DAEMON_NAME "atocored"
#define RETRY_MS    50
#define COMM_SIZE   32
#define FILE_ID     64 /* "fd:00:1234", as /proc/locks writes device and inode */
#define STOPPED_MAX 16

/* One line of /proc/locks (proc_locks(5)). */
struct LockLine {
        bool flock;
        pid_t pid;
        char file[FILE_ID];
};

/* Calls `visit` for each lock that we may see, until it returns other than 0. */
static int each_lock(int (*visit)(const struct LockLine *line, void *userdata), void *userdata) {
        _cleanup_fclose_ FILE *locks = fopen("/proc/locks", "re");
        char text[256];
        int r = 0;

        while (locks && r == 0 && fgets(text, sizeof text, locks)) {
                struct LockLine line = { 0 };
                char class[16], kind[16], mode[16];
                int pid;

                /* A waiter's line has "->" before its class, and does not match. */
                if (sscanf(text, "%*[0-9]: %15s %15s %15s %d %63s", class, kind, mode, &pid,
                            line.file) != 5)
                        continue;
                line.flock = strcmp(class, "FLOCK") == 0;
                line.pid = pid;
                r = visit(&line, userdata);
        }
        return r;
}

static void read_comm(pid_t pid, char ret_comm[COMM_SIZE]) {
        char path[64];
        _cleanup_close_ int fd = -1;
        ssize_t n;

        (void) snprintf(path, sizeof path, "/proc/%d/comm", (int) pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? 0 : read(fd, ret_comm, COMM_SIZE - 1);
        ret_comm[n > 0 ? n : 0] = '\0';
        ret_comm[strcspn(ret_comm, "\n")] = '\0';
}

/* How the kernel names the lock file: on overlays and btrfs its device is not that of stat(2), so
 * it is read off a lock of our own. */
struct OwnLock {
        char inode[FILE_ID];
        char file[FILE_ID];
};

static int find_own(const struct LockLine *line, void *userdata) {
        struct OwnLock *own = userdata;
        const char *inode = strrchr(line->file, ':');

        if (!line->flock || line->pid != getpid() || !inode || strcmp(inode + 1, own->inode) != 0)
                return 0;
        memcpy(own->file, line->file, sizeof own->file);
        return 1;
}

static int identify(
        const struct Operation *operation, char ret_file[FILE_ID], struct Failure *failure) {
        _cleanup_lock_ struct Lock *lock = NULL;
        struct OwnLock own = { 0 };
        struct stat st;
        int r;

        /* Only who held the gate before us can have it exclusively: the daemon of the proof of a
         * restore that was killed, for the moment in which the kernel ends that, too. */
        r = lock_acquire(
                operation->layout->store_lock, LOCK_MODE_SHARED, operation, &lock, failure);
        if (r < 0)
                return r;
        if (stat(operation->layout->store_lock, &st) < 0)
                return failure_set_read(failure, errno, operation->layout->store_lock, "examine");
        (void) snprintf(own.inode, sizeof own.inode, "%ju", (uintmax_t) st.st_ino);
        (void) each_lock(find_own, &own);
        memcpy(ret_file, own.file, FILE_ID);
        return 0;
}

struct Holder {
        char file[FILE_ID];
        pid_t stopped[STOPPED_MAX]; /* were told already */
        size_t n_stopped;
        pid_t other; /* the last that was seen and is no daemon, or may not be told; 0: none */
};

static bool was_stopped(const struct Holder *holder, pid_t pid) {
        for (size_t i = 0; i < holder->n_stopped; i++)
                if (holder->stopped[i] == pid)
                        return true;
        return false;
}

/* Through a descriptor of the process: its number cannot become another's in between. */
static bool stop_daemon(pid_t pid) {
        _cleanup_close_ int fd = (int) syscall(SYS_pidfd_open, pid, 0);
        char comm[COMM_SIZE];

        if (fd < 0)
                return errno == ESRCH;
        read_comm(pid, comm);
        if (strcmp(comm, DAEMON_NAME) != 0)
                return false;
        return syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) >= 0 || errno == ESRCH;
}

static int stop_holder(const struct LockLine *line, void *userdata) {
        struct Holder *holder = userdata;

        if (!line->flock || strcmp(line->file, holder->file) != 0 || line->pid == getpid() ||
                line->pid <= 0 || was_stopped(holder, line->pid))
                return 0;
        if (holder->n_stopped < STOPPED_MAX && stop_daemon(line->pid))
                holder->stopped[holder->n_stopped++] = line->pid;
        else
                holder->other = line->pid;
        return 0;
}

static int busy(
        const struct Operation *operation, const struct Holder *holder, struct Failure *failure) {
        pid_t pid = holder->other   ? holder->other
                : holder->n_stopped ? holder->stopped[holder->n_stopped - 1]
                                    : 0;
        char comm[COMM_SIZE] = "";

        if (pid == 0)
                return failure_set(failure, EVENT_LOCK_BUSY, EAGAIN, operation->layout->store_lock,
                        "The live data is in use by a process that cannot be seen from here "
                        "(lslocks shows which); gave up after %ju s; end it and try again",
                        (uintmax_t) operation->lock_wait);
        read_comm(pid, comm);
        return failure_set(failure, EVENT_LOCK_BUSY, EAGAIN, operation->layout->store_lock,
                "The live data is in use by process %d, %s%s; gave up after %ju s; end it and try "
                "again",
                (int) pid, comm[0] ? comm : "unknown",
                holder->other ? "" : ", which was told to stop and has not",
                (uintmax_t) operation->lock_wait);
}

int holders_take_store(
        const struct Operation *operation, struct Lock **ret_lock, struct Failure *failure) {
        const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
        uint64_t deadline = monotonic_ms() + operation->lock_wait * 1000;
        struct Operation now = *operation;
        struct Holder holder = { 0 };
        int r;

        r = identify(operation, holder.file, failure);
        if (r < 0)
                return r;
        now.lock_wait = 0;
        for (;;) {
                _cleanup_failure_ struct Failure why = { 0 };

                r = lock_acquire(
                        operation->layout->store_lock, LOCK_MODE_EXCLUSIVE, &now, ret_lock, &why);
                if (r >= 0)
                        return 0;
                if (why.event != EVENT_LOCK_BUSY)
                        return failure_set(failure, why.event, why.error, why.path, "%s",
                                failure_message(&why));
                holder.other = 0;
                if (holder.file[0])
                        (void) each_lock(stop_holder, &holder);
                if (monotonic_ms() >= deadline)
                        return busy(operation, &holder, failure);
                r = operation_check(operation, failure);
                if (r < 0)
                        return r;
                (void) nanosleep(&pause, NULL);
        }
}

/* Foreign users. */

struct Foreign {
        const char *directory; /* data/db, as the kernel names it */
        size_t length;
        char files[4][FILE_ID]; /* inodes of the database and what belongs to it */
        pid_t pid;
};

static int find_locked(const struct LockLine *line, void *userdata) {
        struct Foreign *foreign = userdata;
        const char *inode = strrchr(line->file, ':');

        if (line->flock || line->pid <= 0 || line->pid == getpid() || !inode)
                return 0;
        for (size_t i = 0; i < sizeof foreign->files / sizeof foreign->files[0]; i++)
                if (foreign->files[i][0] && strcmp(inode + 1, foreign->files[i]) == 0) {
                        foreign->pid = line->pid;
                        return 1;
                }
        return 0;
}

static bool has_open(const struct Foreign *foreign, const char *pid) {
        char path[64], target[PATH_MAX];
        _cleanup_closedir_ DIR *descriptors = NULL;
        struct dirent *entry;

        (void) snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
        descriptors = opendir(path); /* that of another user cannot be read: then its locks tell */
        while (descriptors && (entry = readdir(descriptors))) {
                ssize_t n =
                        readlinkat(dirfd(descriptors), entry->d_name, target, sizeof target - 1);

                if (n <= (ssize_t) foreign->length)
                        continue;
                target[n] = '\0';
                if (strncmp(target, foreign->directory, foreign->length) == 0 &&
                        target[foreign->length] == '/')
                        return true;
        }
        return false;
}

static void find_open(struct Foreign *foreign) {
        _cleanup_closedir_ DIR *processes = opendir("/proc");
        struct dirent *entry;

        while (processes && foreign->pid == 0 && (entry = readdir(processes))) {
                pid_t pid = (pid_t) strtol(entry->d_name, NULL, 10);

                if (isdigit((unsigned char) entry->d_name[0]) && pid != getpid() &&
                        has_open(foreign, entry->d_name))
                        foreign->pid = pid;
        }
}

int holders_refuse_foreign(const struct Operation *operation, struct Failure *failure) {
        static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
        const struct Layout *layout = operation->layout;
        _cleanup_free_ char *directory = realpath(layout->database_dir, NULL);
        struct Foreign foreign = { .directory = directory };
        char comm[COMM_SIZE];

        if (!directory)
                return errno == ENOENT || errno == ENOTDIR
                        ? 0
                        : failure_set_read(failure, errno, layout->database_dir, "examine");
        foreign.length = strlen(directory);
        for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
                _cleanup_free_ char *path = NULL;
                struct stat st;

                if (asprintf(&path, "%s%s", layout->database, suffixes[i]) < 0) {
                        path = NULL;
                        return failure_out_of_memory(failure);
                }
                if (stat(path, &st) >= 0)
                        (void) snprintf(foreign.files[i], sizeof foreign.files[i], "%ju",
                                (uintmax_t) st.st_ino);
        }
        if (each_lock(find_locked, &foreign) == 0)
                find_open(&foreign);
        if (foreign.pid == 0)
                return 0;
        read_comm(foreign.pid, comm);
        return failure_set(failure, EVENT_LOCK_BUSY, EAGAIN, layout->database,
                "Process %d, %s, has the database in %s open; end it and try again",
                (int) foreign.pid, comm[0] ? comm : "unknown", layout->database_dir);
}
