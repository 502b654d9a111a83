/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
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
        int socket[2]; /* [0]: requests to it, [1]: answers from it */
};

#define CLONER_INIT                                                                                \
        {                                                                                          \
                .socket = { -1, -1 }                                                               \
        }

static void cloner_clear(struct Cloner *cloner) {
        for (size_t i = 0; i < 2; i++)
                if (cloner->socket[i] >= 0)
                        (void) close(cloner->socket[i]);
        if (cloner->pid > 0) {
                int status;
                /* It ends by itself: its request pipe is closed now. */
                while (waitpid(cloner->pid, &status, 0) < 0 && errno == EINTR)
                        ;
        }
}

__attribute__((noreturn)) static void cloner_main(
        const char *source, const char *target, int requests, int answers) {
        int from, to;
        char request;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        from = open(source, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        to = from < 0 ? -1 : open(target, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        while (read(requests, &request, 1) == 1) {
                int error = from < 0 || to < 0 || ioctl(to, FICLONE, from) < 0 ? errno : 0;
                if (write(answers, &error, sizeof error) != (ssize_t) sizeof error)
                        break;
        }
        _exit(0);
}

static int cloner_start(struct Cloner *cloner, const char *source, const char *target) {
        int requests[2], answers[2];

        if (pipe2(requests, O_CLOEXEC) < 0)
                return -errno;
        if (pipe2(answers, O_CLOEXEC) < 0) {
                int r = -errno;
                (void) close(requests[0]);
                (void) close(requests[1]);
                return r;
        }
        cloner->socket[0] = requests[1];
        cloner->socket[1] = answers[0];
        cloner->pid = fork();
        if (cloner->pid == 0) {
                /* Only the parent may hold the writing end: its close is our end of file. */
                (void) close(requests[1]);
                (void) close(answers[0]);
                cloner_main(source, target, requests[0], answers[1]);
        }
        (void) close(requests[0]);
        (void) close(answers[1]);
        return cloner->pid < 0 ? -errno : 0;
}

/* One clone of the whole file. Any failure means: copy in another way. */
static bool cloner_clone(struct Cloner *cloner) {
        int error = EIO;
        ssize_t n;

        if (write(cloner->socket[0], "c", 1) != 1)
                return false;
        do
                n = read(cloner->socket[1], &error, sizeof error);
        while (n < 0 && errno == EINTR);
        return n == (ssize_t) sizeof error && error == 0;
}

/* Everything that was committed is in the main file and stays as it is while `writer` holds its
 * transaction? A checkpoint cannot run on the connection that has the transaction. */
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

/* Whether `target` now shares its blocks with `source` in a consistent state. When not, nothing of
 * it is left. */
static bool copy_by_clone(const char *source, const char *target) {
        _cleanup_(cloner_clear) struct Cloner cloner = CLONER_INIT;
        _cleanup_sqlite_ sqlite3 *writer = NULL;
        sqlite3 *transaction _cleanup_rollback_ = NULL;
        bool cloned = false;

        /* A first clone only tells whether the file system can: where it cannot, no writer of
         * another program is ever made to wait. */
        if (cloner_start(&cloner, source, target) < 0 || !cloner_clone(&cloner))
                goto finish;
        if (sqlite_open(source, SQLITE_MODE_SOURCE, &writer, NULL) < 0)
                goto finish;
        (void) sqlite3_busy_timeout(writer, CLONE_BUSY_TIMEOUT_MS);
        if (sqlite_begin(writer, NULL) < 0)
                goto finish;
        transaction = writer;
        cloned = is_checkpointed(source) && cloner_clone(&cloner);
finish:
        if (!cloned)
                (void) unlink(target);
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
                "PRAGMA cache_size=-8192",
                failure);
        if (r < 0)
                return r;
        *ret_db = STEAL(db);
        return 0;
}

static int copy_steps(const struct Operation *operation, sqlite3_backup *copy, sqlite3 *to,
        struct Failure *failure) {
        for (;;) {
                int code = sqlite3_backup_step(copy, COPY_STEP_PAGES);
                uint64_t total = (uint64_t) sqlite3_backup_pagecount(copy);
                uint64_t left = (uint64_t) sqlite3_backup_remaining(copy);
                int r;

                if (code == SQLITE_DONE)
                        return 0;
                if (code != SQLITE_OK) {
                        (void) sqlite3_backup_finish(copy); /* puts the error into `to` */
                        return sqlite_failure(to, failure, "copy the database");
                }
                operation_progress(operation, "Copying the database", total - left, total);
                r = operation_check(operation, failure);
                if (r < 0) {
                        (void) sqlite3_backup_finish(copy);
                        return r;
                }
        }
}

static int copy_by_backup(const struct Operation *operation, const char *source, const char *target,
        struct Failure *failure) {
        _cleanup_sqlite_ sqlite3 *from = NULL, *to = NULL;
        sqlite3 *transaction _cleanup_rollback_ = NULL;
        sqlite3_backup *copy;
        int r;

        r = sqlite_open(source, SQLITE_MODE_SOURCE, &from, failure);
        if (r < 0)
                return r;
        /* A held read transaction: what other processes commit meanwhile is not seen, and so never
         * makes the copy start over. */
        r = sqlite_execute(from, "BEGIN; SELECT count(*) FROM sqlite_schema", failure);
        if (r < 0)
                return r;
        transaction = from;
        r = open_target(target, &to, failure);
        if (r < 0)
                return r;
        copy = sqlite3_backup_init(to, "main", from, "main");
        if (!copy)
                return sqlite_failure(to, failure, "copy the database");
        r = copy_steps(operation, copy, to, failure);
        if (r < 0)
                return r;
        if (sqlite3_backup_finish(copy) != SQLITE_OK)
                return sqlite_failure(to, failure, "copy the database");
        return 0;
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
        enum CopyMethod method = COPY_CLONED;
        struct stat st;
        int r;

        if (lstat(target, &st) >= 0)
                return failure_set(failure, EVENT_WRITE_FAILED, EEXIST, target,
                        "Cannot create %s: %m", target);
        if (!copy_by_clone(source, target)) {
                r = copy_by_backup(operation, source, target, failure);
                if (r < 0)
                        return r;
                method = COPY_READ_WRITE;
        }
        r = make_self_contained(target, failure);
        if (r < 0)
                return r;
        *ret_method = method;
        return 0;
}
