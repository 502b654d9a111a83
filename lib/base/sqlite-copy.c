/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/base/sqlite.h"

/* Pages per step of the backup API, between two looks at progress and cancellation. */
#define COPY_STEP_PAGES 4096

/* How long writers of other programs are waited for before a clone; the backup API needs no write
 * lock, so there is no point in insisting. */
#define CLONE_BUSY_TIMEOUT_MS 2000

/*
 * The process that clones. The descriptor it opens on the live file would, in this process, drop
 * SQLite's POSIX locks when closed; locks of the parent are not touched by a child.
 *
 * It answers each request byte with the errno of one FICLONE, as an int. Between fork() and _exit()
 * it calls only what is safe in the child of a process with threads.
 */
struct Cloner {
        pid_t pid;
        int socket;
};

#define CLONER_INIT                                                                                \
        { .socket = -1 }

static void cloner_clear(struct Cloner *cloner) {
        int status;

        if (cloner->socket >= 0) {
                /* It ends by itself at this end of file, which close() alone would not make where
                 * another thread has forked meanwhile. */
                (void) shutdown(cloner->socket, SHUT_RDWR);
                (void) close(cloner->socket);
        }
        if (cloner->pid > 0)
                while (waitpid(cloner->pid, &status, 0) < 0 && errno == EINTR)
                        ;
}

__attribute__((noreturn)) static void cloner_main(const char *source, int target, int socket) {
        int from;
        char request;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        from = open(source, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        while (recv(socket, &request, 1, 0) == 1) {
                /* Emptied first: a clone never makes its target shorter. */
                int error = from < 0 || ftruncate(target, 0) < 0 || ioctl(target, FICLONE, from) < 0
                        ? errno
                        : 0;
                if (send(socket, &error, sizeof error, MSG_NOSIGNAL) != (ssize_t) sizeof error)
                        break;
        }
        _exit(0);
}

static int cloner_start(struct Cloner *cloner, const char *source, int target) {
        int sockets[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
                return -errno;
        cloner->socket = sockets[0];
        cloner->pid = fork();
        r = cloner->pid < 0 ? -errno : 0;
        if (cloner->pid == 0) {
                (void) close(sockets[0]);
                cloner_main(source, target, sockets[1]);
        }
        (void) close(sockets[1]);
        return r;
}

/* One clone of the whole file. Any failure means: copy in another way. */
static bool cloner_clone(struct Cloner *cloner) {
        int error = EIO;
        ssize_t n;

        if (send(cloner->socket, "c", 1, MSG_NOSIGNAL) != 1)
                return false;
        do
                n = recv(cloner->socket, &error, sizeof error, 0);
        while (n < 0 && errno == EINTR);
        return n == (ssize_t) sizeof error && error == 0;
}

/* Is everything that was committed in the main file? A checkpoint cannot run on the connection that
 * has the write transaction, so this takes another one. */
static bool is_checkpointed(const char *path) {
        _cleanup_sqlite_ sqlite3 *db = NULL;
        int in_log = 0, done = 0;

        if (sqlite_open(path, SQLITE_MODE_SOURCE, &db, NULL) < 0)
                return false;
        if (sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &done) !=
                SQLITE_OK)
                return false;
        return in_log == done; /* both -1: the database has no log */
}

/* Clones while nobody can write: with the write lock held and the log, where there is one, all
 * checkpointed, the main file stays as it is. */
static bool clone_quiet(struct Cloner *cloner, sqlite3 *from, const char *source) {
        sqlite3 *transaction _cleanup_rollback_ = NULL;

        if (sqlite_begin(from, NULL) < 0)
                return false;
        transaction = from;
        return is_checkpointed(source) && cloner_clone(cloner);
}

/* Whether the file behind `target` now shares its blocks with `source` in a consistent state. When
 * not, it may hold anything. */
static bool copy_by_clone(sqlite3 *from, const char *source, int target) {
        _cleanup_(cloner_clear) struct Cloner cloner = CLONER_INIT;
        bool cloned;

        /* A first clone only tells whether the file system can: where it cannot, no writer of
         * another program is ever made to wait. */
        if (cloner_start(&cloner, source, target) < 0 || !cloner_clone(&cloner))
                return false;
        (void) sqlite3_busy_timeout(from, CLONE_BUSY_TIMEOUT_MS);
        cloned = clone_quiet(&cloner, from, source);
        (void) sqlite3_busy_timeout(from, SQLITE_BUSY_TIMEOUT_MS);
        return cloned;
}

static int open_target(const char *target, sqlite3 **ret_db, struct Failure *failure) {
        _cleanup_sqlite_ sqlite3 *db = NULL;
        int r;

        r = sqlite_open(target, SQLITE_MODE_CREATE, &db, failure);
        if (r < 0)
                return r;
        /* A staged file that nobody else sees and that is thrown away if we do not finish needs
         * neither journal nor sync nor locks; the caller fsyncs it. */
        r = sqlite_execute(db,
                "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
                "PRAGMA cache_size=-1024",
                failure);
        if (r < 0)
                return r;
        *ret_db = STEAL(db);
        return 0;
}

/* The backup API does not say on which of the two databases it failed. */
static int copy_failure(int code, const char *source, const char *target, struct Failure *failure) {
        switch (code) {
        case SQLITE_FULL:
        case SQLITE_IOERR_WRITE:
        case SQLITE_IOERR_TRUNCATE:
        case SQLITE_READONLY:
                return sqlite_failure_of(
                        code, 0, NULL, target, failure, "write the copy of the database");
        default:
                return sqlite_failure_of(code, 0, NULL, source, failure, "copy what is");
        }
}

static int copy_steps(const struct Operation *operation, sqlite3_backup *copy, const char *source,
        const char *target, struct Failure *failure) {
        for (;;) {
                int code = sqlite3_backup_step(copy, COPY_STEP_PAGES);
                uint64_t total, left;
                int r;

                if (code != SQLITE_OK && code != SQLITE_DONE)
                        return copy_failure(code, source, target, failure);
                total = (uint64_t) sqlite3_backup_pagecount(copy);
                left = (uint64_t) sqlite3_backup_remaining(copy);
                operation_progress(operation, "Copying the database", total - left, total);
                if (code == SQLITE_DONE)
                        return 0;
                r = operation_check(operation, failure);
                if (r < 0)
                        return r;
        }
}

static void backup_finish(sqlite3_backup **copy) {
        (void) sqlite3_backup_finish(*copy); /* repeats the error of the last step */
}

static int copy_by_backup(const struct Operation *operation, sqlite3 *from, const char *source,
        const char *target, struct Failure *failure) {
        _cleanup_sqlite_ sqlite3 *to = NULL;
        sqlite3 *transaction _cleanup_rollback_ = NULL;
        _cleanup_(backup_finish) sqlite3_backup *copy = NULL;
        int r;

        /* Each page is read once: a cache larger than the processor's own would only be slower.
         * A held read transaction: what other processes commit meanwhile is not seen, and so never
         * makes the copy start over. */
        r = sqlite_execute(
                from, "PRAGMA cache_size=-256; BEGIN; SELECT count(*) FROM sqlite_schema", failure);
        if (r < 0)
                return r;
        transaction = from;
        r = open_target(target, &to, failure);
        if (r < 0)
                return r;
        copy = sqlite3_backup_init(to, "main", from, "main");
        if (!copy)
                return sqlite_failure(to, failure, "begin to copy the database");
        return copy_steps(operation, copy, source, target, failure);
}

/* The copy bears the source's journal mode in its header; with WAL, opening it would make files
 * beside it. Afterwards it is one file. */
static int make_self_contained(const char *path, struct Failure *failure) {
        _cleanup_sqlite_ sqlite3 *db = NULL;
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        const char *mode;
        int r;

        r = sqlite_open(path, SQLITE_MODE_WRITE, &db, failure);
        if (r < 0)
                return r;
        r = sqlite_execute(db, "PRAGMA synchronous=OFF", failure);
        if (r < 0)
                return r;
        r = sqlite_prepare(db, "PRAGMA journal_mode=DELETE", &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_step(statement) != SQLITE_ROW)
                return sqlite_failure(db, failure, "set the journal mode");
        mode = (const char *) sqlite3_column_text(statement, 0);
        if (!mode || strcmp(mode, "delete") != 0)
                return failure_set(failure, EVENT_DATABASE_FAILED, EIO, path,
                        "Cannot make the copy %s one self-contained file: its journal mode stays "
                        "%s",
                        path, mode ? mode : "unknown");
        return 0;
}

int sqlite_copy(const struct Operation *operation, const char *source, const char *target,
        enum CopyMethod *ret_method, struct Failure *failure) {
        _cleanup_close_ int fd = -1;
        _cleanup_sqlite_ sqlite3 *from = NULL;
        enum CopyMethod method = COPY_CLONED;
        int r;

        r = sqlite_open(source, SQLITE_MODE_SOURCE, &from, failure);
        if (r < 0)
                return r;
        fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, FILE_MODE);
        if (fd < 0)
                return failure_set_write(failure, errno, target, "create");
        if (!copy_by_clone(from, source, fd)) {
                if (ftruncate(fd, 0) < 0)
                        return failure_set_write(failure, errno, target, "empty");
                method = COPY_READ_WRITE;
        }
        /* Before SQLite has it open: see sqlite.h. */
        (void) close(fd);
        fd = -1;
        if (method == COPY_READ_WRITE) {
                r = copy_by_backup(operation, from, source, target, failure);
                if (r < 0)
                        return r;
        }
        r = make_self_contained(target, failure);
        if (r < 0)
                return r;
        *ret_method = method;
        return 0;
}
