/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/sqlite.h"

/* Problems that are kept of a damaged database; one page can break thousands of rows. */
#define PROBLEMS_MAX 10

/* An index is checked row by row against its table: with the default 2 MB of cache most of these
 * look-ups go to the file. */
#define CHECK_CACHE "PRAGMA cache_size=-32768; PRAGMA cell_size_check=ON"

/* Instructions of SQLite's virtual machine between two looks for a cancellation. */
#define CHECK_INSTRUCTIONS 100000

static int is_cancelled(void *userdata) {
        return operation_cancelled(userdata);
}

/* Is this a result that the file itself is to blame for? */
static bool is_damage(int code) {
        switch (code & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return true;
        default:
                return false;
        }
}

static int append_problem(char **problem, const char *text) {
        char *longer;

        if (asprintf(&longer, "%s%s%s", *problem ? *problem : "", *problem ? "; " : "", text) < 0)
                return -ENOMEM;
        free(*problem);
        *problem = longer;
        return 0;
}

static int collect_problems(
        sqlite3 *db, char **ret_problem, char **ret_unchecked, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        _cleanup_free_ char *problem = NULL, *unchecked = NULL;
        char sql[64];
        int code;

        (void) snprintf(sql, sizeof sql, "PRAGMA integrity_check(%d)", PROBLEMS_MAX);
        code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
        while (code == SQLITE_OK || code == SQLITE_ROW) {
                code = sqlite3_step(statement);
                if (code == SQLITE_ROW) {
                        const char *text = (const char *) sqlite3_column_text(statement, 0);
                        if (!text)
                                return failure_out_of_memory(failure);
                        if (strcmp(text, "ok") != 0 && append_problem(&problem, text) < 0)
                                return failure_out_of_memory(failure);
                }
        }
        if ((code & 0xff) == SQLITE_ERROR) {
                /* A virtual table that cannot be opened here: of the tables nothing is known. */
                if (append_problem(&unchecked, sqlite3_errmsg(db)) < 0)
                        return failure_out_of_memory(failure);
        } else if (code != SQLITE_DONE) {
                if (!is_damage(code))
                        return sqlite_failure(db, failure, "check the integrity");
                if (append_problem(&problem, sqlite3_errmsg(db)) < 0)
                        return failure_out_of_memory(failure);
        }
        *ret_problem = STEAL(problem);
        *ret_unchecked = STEAL(unchecked);
        return 0;
}

int sqlite_check_integrity(const struct Operation *operation, sqlite3 *db, char **ret_problem,
        char **ret_unchecked, struct Failure *failure) {
        int r;

        r = sqlite_execute(db, CHECK_CACHE, failure);
        if (r < 0)
                return r;
        sqlite3_progress_handler(db, CHECK_INSTRUCTIONS, is_cancelled, (void *) operation);
        r = collect_problems(db, ret_problem, ret_unchecked, failure);
        sqlite3_progress_handler(db, 0, NULL, NULL);
        return r;
}

int sqlite_check_foreign_keys(
        sqlite3 *db, uint64_t *ret_violations, char **ret_table, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        _cleanup_free_ char *table = NULL;
        uint64_t violations = 0;
        int r, code;

        r = sqlite_prepare(db, "PRAGMA foreign_key_check", &statement, failure);
        if (r < 0)
                return r;
        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
                if (violations++ == 0) {
                        const char *name = (const char *) sqlite3_column_text(statement, 0);
                        table = strdup(name ? name : "?");
                        if (!table)
                                return failure_out_of_memory(failure);
                }
        }
        if (code != SQLITE_DONE)
                return sqlite_failure(db, failure, "check the foreign keys");
        *ret_violations = violations;
        *ret_table = STEAL(table);
        return 0;
}
