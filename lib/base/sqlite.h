/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * SQLite as AtoCore opens it. A connection belongs to one thread at a time.
 *
 * Never open the live database file with a plain descriptor in a process that has it open through
 * SQLite: close() drops all POSIX locks of the process on that file.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"
#include "lib/base/failure.h"
#include "lib/base/file-io.h"
#include "lib/base/operation.h"

/* application_id of a database of ours: "ATOC" (https://sqlite.org/fileformat.html §1.3.11). */
#define SQLITE_APPLICATION_ID 0x41544f43

/* How long a connection waits for the locks of others before it fails with LOCK_BUSY (-EAGAIN). */
#define SQLITE_BUSY_TIMEOUT_MS 30000

enum SqliteMode {
        SQLITE_MODE_READ,      /* the live database, query only */
        SQLITE_MODE_WRITE,     /* the live database; must exist; no checkpoint on close */
        SQLITE_MODE_CREATE,    /* the same, created with FILE_MODE when absent */
        SQLITE_MODE_SOURCE,    /* source of an online copy: no CREATE, no checkpoint on close */
        SQLITE_MODE_IMMUTABLE, /* nobody writes it, read-only media: no locks, no -wal, no -shm */
};

/* DATABASE_MISSING (-ENOENT), DATABASE_INVALID (-EBADMSG: no SQLite file, or damaged),
 * PERMISSION_DENIED (-EACCES), LOCK_BUSY (-EAGAIN), the failures of reading and writing files,
 * DATABASE_FAILED otherwise. An empty file opened for anything but CREATE is DATABASE_INVALID.
 * Foreign keys are on. Opening finishes what a crash interrupted, as each SQLite program does: a
 * hot journal is rolled back, a -wal is recovered; not with IMMUTABLE. */
int sqlite_open(const char *path, enum SqliteMode mode, sqlite3 **ret_db, struct Failure *failure);
sqlite3 *sqlite_close(sqlite3 *db);
DEFINE_POINTER_CLEANUP(sqlite3 *, sqlite_close)
#define _cleanup_sqlite_ _cleanup_(sqlite_closep)

/* The failure of the last call on `db`; `doing` reads "read interactions". Returns its -errno. */
int sqlite_failure(sqlite3 *db, struct Failure *failure, const char *doing);
/* The same for a result code that no connection has: extended `code`; errno value of the system
 * call behind it, or 0 for what errno says; text, or NULL for SQLite's own. */
int sqlite_failure_of(int code, int error, const char *text, const char *path,
        struct Failure *failure, const char *doing);

/* One or more statements without results. */
int sqlite_execute(sqlite3 *db, const char *sql, struct Failure *failure);
int sqlite_prepare(
        sqlite3 *db, const char *sql, sqlite3_stmt **ret_statement, struct Failure *failure);
sqlite3_stmt *sqlite_finalize(sqlite3_stmt *statement);
DEFINE_POINTER_CLEANUP(sqlite3_stmt *, sqlite_finalize)
#define _cleanup_statement_ _cleanup_(sqlite_finalizep)

/* For a statement that is kept: what is bound lives as long as the call that bound it. */
static inline void sqlite_resetp(sqlite3_stmt **statement) {
        if (!*statement)
                return;
        (void) sqlite3_reset(*statement);
        (void) sqlite3_clear_bindings(*statement);
}
#define _cleanup_reset_ _cleanup_(sqlite_resetp)

/* First column of the first row; *ret_value is 0 when there is no row. */
int sqlite_query_int64(sqlite3 *db, const char *sql, int64_t *ret_value, struct Failure *failure);

/* Write transactions: BEGIN IMMEDIATE, and a rollback on every way out without a commit. */
int sqlite_begin(sqlite3 *db, struct Failure *failure);
int sqlite_commit(sqlite3 *db, struct Failure *failure);
void sqlite_rollback(sqlite3 *db); /* no transaction open: nothing happens */
static inline void sqlite_rollbackp(sqlite3 **db) {
        if (*db)
                sqlite_rollback(*db);
}
/* sqlite3 *transaction _cleanup_rollback_ = db; … sqlite_commit(db), transaction = NULL */
#define _cleanup_rollback_ _cleanup_(sqlite_rollbackp)

/* A consistent copy of the database at `source` as the new file `target` (-EEXIST when it is
 * there), self-contained: no -wal, no -shm, journal mode DELETE, FILE_MODE. Other processes may go
 * on writing. By clone where the file system has it (COPY_CLONED; this checkpoints the source),
 * else by the backup API in one transaction (COPY_READ_WRITE; the source's file stays as it is).
 * Not yet fsynced. Failures as of sqlite_open(), NO_SPACE, INTERRUPTED; `path` in them is the file
 * at fault. On failure `target` may be left incomplete: the caller stages it. */
int sqlite_copy(const struct Operation *operation, const char *source, const char *target,
        enum CopyMethod *ret_method, struct Failure *failure);

/* PRAGMA integrity_check of an unchanging file (opened IMMUTABLE). *ret_problem is NULL when it is
 * sound, else the first of what is wrong. *ret_unchecked is NULL when all of it could be looked at,
 * else what could not and why: tables that need a module, tokenizer, collation or function that
 * this program does not have. That is no damage, but no proof either. All other tables were
 * checked, and so were the pages of these, unless the text names the pages of the file as well.
 * Both are one line, the caller frees them. The return value is -errno only where it could not be
 * told (-EIO, -ENOMEM, -EINTR when cancelled). */
int sqlite_check_integrity(const struct Operation *operation, sqlite3 *db, char **ret_problem,
        char **ret_unchecked, struct Failure *failure);
/* PRAGMA foreign_key_check: number of violating rows, and the table of the first (NULL when there
 * is none; caller frees). DATABASE_FAILED where the schema does not let it be told: a parent
 * without that key. INTERRUPTED when cancelled. */
int sqlite_check_foreign_keys(const struct Operation *operation, sqlite3 *db,
        uint64_t *ret_violations, char **ret_table, struct Failure *failure);
