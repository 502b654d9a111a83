/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/refusal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/sqlite.h"

/* ?1 is the key of a path: that one, or one below it. '0' is the character after '/'. */
#define AT_OR_BELOW "(key = ?1 OR (key >= ?1 || '/' AND key < ?1 || '0'))"

/* Caller frees. */
static char *key_of(const char *source, const char *subpath) {
        char *key;

        return asprintf(&key, "removal_refused/%s%s%s", source, *subpath ? "/" : "", subpath) < 0
                ? NULL
                : key;
}

/* Runs a statement on the key of a path and on `value`, which may be NULL. 1: it has a row. */
static int run(sqlite3 *db, const char *sql, const char *source, const char *subpath,
        const char *value, struct Failure *failure) {
        _cleanup_free_ char *key = key_of(source, subpath);
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        int r;

        r = key ? sqlite_prepare(db, sql, &statement, failure) : failure_out_of_memory(failure);
        if (r < 0)
                return r;
        if (sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC) != SQLITE_OK ||
                (value && sqlite3_bind_text(statement, 2, value, -1, SQLITE_STATIC) != SQLITE_OK))
                return failure_out_of_memory(failure);
        switch (sqlite3_step(statement)) {
        case SQLITE_ROW:
                return 1;
        case SQLITE_DONE:
                return 0;
        default:
                return sqlite_failure(db, failure, "keep what was refused");
        }
}

int refusal_put(sqlite3 *db, const char *source, const char *subpath, const char *sentence,
        struct Failure *failure) {
        int r = run(db, "SELECT 1 FROM state WHERE key = ?1 AND value = ?2", source, subpath,
                sentence, failure);

        if (r == 0)
                r = run(db,
                        "INSERT INTO state (key, value) VALUES (?1, ?2)"
                        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                        source, subpath, sentence, failure);
        return r < 0 ? r : 0;
}

int refusal_clear(sqlite3 *db, const char *source, const char *subpath, struct Failure *failure) {
        int r = run(db, "SELECT 1 FROM state WHERE " AT_OR_BELOW, source, subpath, NULL, failure);

        return r <= 0
                ? r
                : run(db, "DELETE FROM state WHERE " AT_OR_BELOW, source, subpath, NULL, failure);
}

int refusal_stands(sqlite3 *db, const char *source, struct Failure *failure) {
        return run(db, "SELECT 1 FROM state WHERE " AT_OR_BELOW, source, "", NULL, failure);
}

int refusal_first(sqlite3 *db, char **ret_sentence, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        const char *sentence;
        int r;

        r = sqlite_prepare(db,
                "SELECT value FROM state WHERE key >= 'removal_refused/'"
                " AND key < 'removal_refused0' ORDER BY key LIMIT 1",
                &statement, failure);
        if (r < 0)
                return r;
        *ret_sentence = NULL;
        switch (sqlite3_step(statement)) {
        case SQLITE_ROW:
                sentence = (const char *) sqlite3_column_text(statement, 0);
                *ret_sentence = strdup(sentence ? sentence : "");
                return *ret_sentence ? 0 : failure_out_of_memory(failure);
        case SQLITE_DONE:
                return 0;
        default:
                return sqlite_failure(db, failure, "read what was refused");
        }
}
