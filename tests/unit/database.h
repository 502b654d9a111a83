/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Databases for tests, made with SQLite alone, so that what the library does is compared with
 * something else.
 */

#include <sqlite3.h>

#include "tests/unit/scratch.h"

/* A collation and a function that AtoCore does not have. */
static inline int database_reversed(
        void *userdata, int a_size, const void *a, int b_size, const void *b) {
        int common = a_size < b_size ? a_size : b_size;
        int difference = common > 0 ? memcmp(b, a, (size_t) common) : 0;

        (void) userdata;
        return difference ? difference : b_size - a_size;
}

static inline void database_twice(sqlite3_context *context, int n, sqlite3_value **values) {
        MUST(n == 1);
        sqlite3_result_int64(context, 2 * sqlite3_value_int64(values[0]));
}

/* Opened as other programs do it, created when absent; with `foreign` as one that has the collation
 * "reversed" and the function "twice". */
static inline sqlite3 *database_open_foreign(const char *path, bool foreign) {
        sqlite3 *db = NULL;

        MUST(sqlite3_open(path, &db) == SQLITE_OK);
        (void) sqlite3_busy_timeout(db, 60000);
        if (foreign) {
                MUST(sqlite3_create_collation(
                             db, "reversed", SQLITE_UTF8, NULL, database_reversed) == SQLITE_OK);
                MUST(sqlite3_create_function(db, "twice", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                             NULL, database_twice, NULL, NULL) == SQLITE_OK);
        }
        return db;
}

static inline sqlite3 *database_open(const char *path) {
        return database_open_foreign(path, false);
}

static inline void database_execute(sqlite3 *db, const char *sql) {
        char *error = NULL;

        if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) {
                (void) fprintf(stderr, "%s: %s\n", sql, error);
                abort();
        }
}

static inline void database_close(sqlite3 *db) {
        MUST(sqlite3_close(db) == SQLITE_OK);
}

static inline const char *database_make(const char *path, const char *sql) {
        sqlite3 *db = database_open_foreign(path, true);

        database_execute(db, "PRAGMA synchronous=OFF");
        database_execute(db, sql);
        database_close(db);
        return path;
}

/* First column of the first row as text, which the caller frees; NULL for no row. */
static inline char *database_text(sqlite3 *db, const char *sql) {
        sqlite3_stmt *statement = NULL;
        char *text = NULL;

        MUST(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
        if (sqlite3_step(statement) == SQLITE_ROW) {
                text = strdup((const char *) sqlite3_column_text(statement, 0));
                MUST(text);
        }
        MUST(sqlite3_finalize(statement) == SQLITE_OK);
        return text;
}

static inline int64_t database_int64(sqlite3 *db, const char *sql) {
        char *text = database_text(db, sql);
        int64_t value;

        MUST(text);
        value = strtoll(text, NULL, 10);
        free(text);
        return value;
}

/* The same from a file. */
static inline int64_t database_file_int64(const char *path, const char *sql) {
        sqlite3 *db = database_open(path);
        int64_t value = database_int64(db, sql);

        database_close(db);
        return value;
}

/* Overwrites `size` bytes of the file at `offset`, past SQLite. */
static inline void database_damage(const char *path, off_t offset, size_t size) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        MUST(fd >= 0);
        for (size_t i = 0; i < size; i++)
                MUST(pwrite(fd, "\xa5", 1, offset + (off_t) i) == 1);
        MUST(close(fd) >= 0);
}
