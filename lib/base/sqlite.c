/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/sqlite-blocks.h"

/* SQLite's result codes by what an operator must do about them. */
static const struct {
        int code;
        enum EventId event;
        int error;
        const char *action;
} sqlite_outcomes[] = {
        { SQLITE_NOTADB, EVENT_DATABASE_INVALID, EBADMSG,
                "it is not an SQLite database; restore it from a snapshot" },
        { SQLITE_CORRUPT, EVENT_DATABASE_INVALID, EBADMSG,
                "the file is damaged; restore it from a snapshot and check the disk" },
        { SQLITE_FULL, EVENT_NO_SPACE, ENOSPC, "free space on that file system and try again" },
        { SQLITE_NOMEM, EVENT_OUT_OF_MEMORY, ENOMEM, "free memory and try again" },
        { SQLITE_INTERRUPT, EVENT_INTERRUPTED, EINTR, "run it again" },
        { SQLITE_BUSY, EVENT_LOCK_BUSY, EAGAIN,
                "another program keeps the database locked (lslocks shows which); try again" },
        { SQLITE_LOCKED, EVENT_LOCK_BUSY, EAGAIN,
                "another program keeps the database locked (lslocks shows which); try again" },
        { SQLITE_PERM, EVENT_PERMISSION_DENIED, EACCES,
                "check owner and mode of file and directory" },
        { SQLITE_AUTH, EVENT_PERMISSION_DENIED, EACCES,
                "check owner and mode of file and directory" },
        { SQLITE_READONLY, EVENT_WRITE_FAILED, EROFS, "check owner, mode and mount of the file" },
};

/* I/O errors that mean: it could not be written. */
static bool is_write(int code) {
        switch (code) {
        case SQLITE_IOERR_WRITE:
        case SQLITE_IOERR_FSYNC:
        case SQLITE_IOERR_DIR_FSYNC:
        case SQLITE_IOERR_TRUNCATE:
        case SQLITE_IOERR_DELETE:
        case SQLITE_IOERR_SHMSIZE:
                return true;
        default:
                return false;
        }
}

/* SQLite 3.40 does not keep the system's error of a statement. It is still in errno, if nothing
 * failed since: what only a write can say is believed. */
static int error_of_io(void) {
        switch (errno) {
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
        case EROFS:
                return errno;
        default:
                return EIO;
        }
}

static int io_failure(
        int code, int error, const char *path, struct Failure *failure, const char *doing) {
        char what[128];

        (void) snprintf(what, sizeof what, "%s in", doing);
        if (is_write(code) || error == ENOSPC || error == EDQUOT || error == EROFS)
                return failure_set_write(failure, error, path, what);
        return failure_set_read(failure, error, path, what);
}

int sqlite_failure_of(int code, int error, const char *text, const char *path,
        struct Failure *failure, const char *doing) {
        if (!text)
                text = sqlite3_errstr(code);
        if (code == SQLITE_IOERR_NOMEM)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < sizeof sqlite_outcomes / sizeof sqlite_outcomes[0]; i++)
                if (sqlite_outcomes[i].code == (code & 0xff))
                        return failure_set(failure, sqlite_outcomes[i].event,
                                sqlite_outcomes[i].error, path, "Cannot %s in %s: %s; %s", doing,
                                path, text, sqlite_outcomes[i].action);
        /* What the system said is more use than "disk I/O error" or "unable to open". */
        if ((code & 0xff) == SQLITE_IOERR)
                return io_failure(code, error ? error : error_of_io(), path, failure, doing);
        if ((code & 0xff) == SQLITE_CANTOPEN && error != 0)
                return io_failure(code, error, path, failure, doing);
        return failure_set(failure, EVENT_DATABASE_FAILED, EIO, path, "Cannot %s in %s: %s", doing,
                path, text);
}

int sqlite_failure(sqlite3 *db, struct Failure *failure, const char *doing) {
        const char *path = sqlite3_db_filename(db, "main");

        return sqlite_failure_of(sqlite3_extended_errcode(db), sqlite3_system_errno(db),
                sqlite3_errmsg(db), path && path[0] ? path : "the database", failure, doing);
}

/* What SQLite would only call "unable to open", or take for a new database. */
static int check_file(const char *path, enum SqliteMode mode, struct Failure *failure) {
        struct stat st;

        if (stat(path, &st) < 0) {
                if (errno == ENOENT && mode == SQLITE_MODE_CREATE)
                        return 0;
                if (errno == ENOENT)
                        return failure_set(failure, EVENT_DATABASE_MISSING, ENOENT, path,
                                "There is no database at %s; check the storage root, run "
                                "atocore-ingest for a first one, or restore a snapshot",
                                path);
                return failure_set_read(failure, errno, path, "open");
        }
        if (!S_ISREG(st.st_mode))
                return failure_set(failure, EVENT_DATABASE_INVALID, 0, path,
                        "%s is not a regular file; move it away and restore a snapshot", path);
        if (st.st_size == 0 && mode != SQLITE_MODE_CREATE)
                return failure_set(failure, EVENT_DATABASE_INVALID, 0, path,
                        "%s is empty; restore it from a snapshot", path);
        return 0;
}

/* file: URI of `path` with immutable=1; NULL when memory ran out. */
static char *immutable_uri(const char *path) {
        static const char unescaped[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
        char *uri = malloc(strlen(path) * 3 + sizeof "file://?immutable=1");
        char *out = uri;

        if (!uri)
                return NULL;
        /* With an empty authority, or a path that begins with two slashes would be taken for one.
         */
        out = stpcpy(out, path[0] == '/' ? "file://" : "file:");
        for (const char *p = path; *p; p++)
                if (strchr(unescaped, *p))
                        *out++ = *p;
                else
                        out += sprintf(out, "%%%02X", (unsigned char) *p);
        strcpy(out, "?immutable=1");
        return uri;
}

/* SQLite would make it 0644. Its -wal, -shm and -journal get the mode of the database. */
static int create_file(const char *path, struct Failure *failure) {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, FILE_MODE);

        if (fd < 0)
                return errno == EEXIST ? 0 : failure_set_write(failure, errno, path, "create");
        (void) close(fd); /* new, so no connection of this process has locks on it */
        return 0;
}

static bool configure(sqlite3 *db, enum SqliteMode mode) {
        (void) sqlite3_extended_result_codes(db, 1);
        (void) sqlite3_busy_timeout(db, SQLITE_BUSY_TIMEOUT_MS);
        /* A checkpoint on close would write into a database that we may only have come to read. */
        if (mode != SQLITE_MODE_IMMUTABLE)
                (void) sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        if (sqlite3_exec(db, "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF", NULL, NULL,
                    NULL) != SQLITE_OK)
                return false;
        if (mode == SQLITE_MODE_READ &&
                sqlite3_exec(db, "PRAGMA query_only=ON", NULL, NULL, NULL) != SQLITE_OK)
                return false;
        /* Reads the header and the schema: what is no database says so here, not at first use. */
        return sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) ==
                SQLITE_OK;
}

int sqlite_open(const char *path, enum SqliteMode mode, sqlite3 **ret_db, struct Failure *failure) {
        _cleanup_free_ char *uri = NULL;
        _cleanup_sqlite_ sqlite3 *db = NULL;
        const char *vfs = NULL;
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
        int r;

        r = check_file(path, mode, failure);
        if (r < 0)
                return r;
        if (mode == SQLITE_MODE_IMMUTABLE) {
                uri = immutable_uri(path);
                vfs = sqlite_blocks_vfs();
                if (!uri || !vfs)
                        return failure_out_of_memory(failure);
                flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
        } else if (mode == SQLITE_MODE_CREATE) {
                r = create_file(path, failure);
                if (r < 0)
                        return r;
        }

        if (sqlite3_open_v2(uri ? uri : path, &db, flags, vfs) != SQLITE_OK ||
                !configure(db, mode)) {
                if (!db)
                        return failure_out_of_memory(failure);
                return sqlite_failure_of(sqlite3_extended_errcode(db), sqlite3_system_errno(db),
                        sqlite3_errmsg(db), path, failure, "open the database");
        }
        *ret_db = STEAL(db);
        return 0;
}

sqlite3 *sqlite_close(sqlite3 *db) {
        (void) sqlite3_close_v2(db);
        return NULL;
}

int sqlite_execute(sqlite3 *db, const char *sql, struct Failure *failure) {
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                return sqlite_failure(db, failure, "run a statement");
        return 0;
}

int sqlite_prepare(
        sqlite3 *db, const char *sql, sqlite3_stmt **ret_statement, struct Failure *failure) {
        sqlite3_stmt *statement = NULL;

        if (sqlite3_prepare_v3(db, sql, -1, 0, &statement, NULL) != SQLITE_OK)
                return sqlite_failure(db, failure, "prepare a statement");
        *ret_statement = statement;
        return 0;
}

sqlite3_stmt *sqlite_finalize(sqlite3_stmt *statement) {
        (void) sqlite3_finalize(statement); /* repeats the error of the last step */
        return NULL;
}

int sqlite_query_int64(sqlite3 *db, const char *sql, int64_t *ret_value, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        int r;

        r = sqlite_prepare(db, sql, &statement, failure);
        if (r < 0)
                return r;
        switch (sqlite3_step(statement)) {
        case SQLITE_ROW:
                *ret_value = sqlite3_column_int64(statement, 0);
                return 0;
        case SQLITE_DONE:
                *ret_value = 0;
                return 0;
        default:
                return sqlite_failure(db, failure, "read");
        }
}

int sqlite_begin(sqlite3 *db, struct Failure *failure) {
        return sqlite_execute(db, "BEGIN IMMEDIATE", failure);
}

int sqlite_commit(sqlite3 *db, struct Failure *failure) {
        return sqlite_execute(db, "COMMIT", failure);
}

void sqlite_rollback(sqlite3 *db) {
        if (!sqlite3_get_autocommit(db))
                (void) sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
}
