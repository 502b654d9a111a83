/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/sqlite.h"

/* Problems that are kept of a damaged database; one page can break thousands of rows. */
#define PROBLEMS_MAX 10

/* Each row of a table is looked up in its indices: with the default 2 MB of cache many of these
 * look-ups go to the file. Far beyond what processors have, a cache costs more than it saves, as
 * most pages are looked at only once or twice. */
#define CHECK_CACHE "PRAGMA cache_size=-8192; PRAGMA cell_size_check=ON"

/* Instructions of SQLite's virtual machine between two looks for a cancellation. */
#define CHECK_INSTRUCTIONS 100000

/* Texts, one after the other; beyond PROBLEMS_MAX they are only counted. */
struct Texts {
        char *text;
        size_t n;
};

/* `name` may be NULL. */
static int texts_add(
        struct Texts *texts, const char *name, const char *text, struct Failure *failure) {
        static const char heading[] = "*** in database main ***\n";
        const char *before = texts->text ? texts->text : "";
        const char *separator = texts->text ? "; " : "";
        char *longer;
        int r;

        if (texts->n++ >= PROBLEMS_MAX)
                return 0;
        if (strncmp(text, heading, sizeof heading - 1) == 0)
                text += sizeof heading - 1;
        if (name)
                r = asprintf(&longer, "%s%s%s: %s", before, separator, name, text);
        else
                r = asprintf(&longer, "%s%s%s", before, separator, text);
        if (r < 0)
                return failure_out_of_memory(failure);
        free(texts->text);
        texts->text = longer;
        /* What is about the structure of the file comes as lines, the text is for one line. */
        for (char *p = longer; *p; p++)
                if (*p == '\n')
                        *p = ',';
        return 0;
}

/* Hands the text on, with the number of those that it leaves out. */
static int texts_take(struct Texts *texts, char **ret_text, struct Failure *failure) {
        char *text = NULL;

        if (texts->n <= PROBLEMS_MAX)
                *ret_text = STEAL(texts->text);
        else if (asprintf(&text, "%s; and %zu more", texts->text, texts->n - PROBLEMS_MAX) >= 0)
                *ret_text = text;
        else
                return failure_out_of_memory(failure);
        return 0;
}

struct Check {
        const struct Operation *operation;
        struct Texts problems;
        struct Texts unchecked;
};

static void check_clear(struct Check *check) {
        free(check->problems.text);
        free(check->unchecked.text);
}

static int is_cancelled(void *userdata) {
        return operation_cancelled(userdata);
}

static void set_cancellable(sqlite3 *db, const struct Operation *operation) {
        sqlite3_progress_handler(db, CHECK_INSTRUCTIONS, is_cancelled, (void *) operation);
}

/* Is this a result that the file itself is to blame for? */
static bool is_damage(int code) {
        return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

enum Answer {
        CHECKED,       /* what was wrong is among the problems */
        NOT_CHECKABLE, /* it needs something that this program does not have: sqlite3_errmsg() */
};

/* What ended with `code`: answer or -errno. */
static int answer_of(struct Check *check, sqlite3 *db, int code, struct Failure *failure) {
        if (code == SQLITE_DONE || code == SQLITE_OK)
                return CHECKED;
        if ((code & 0xff) == SQLITE_ERROR)
                return NOT_CHECKABLE;
        if (!is_damage(code))
                return sqlite_failure(db, failure, "check the integrity of what is");
        return texts_add(&check->problems, NULL, sqlite3_errmsg(db), failure);
}

static int run_check(struct Check *check, sqlite3 *db, const char *sql, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        int r, code;

        r = operation_check(check->operation, failure);
        if (r < 0)
                return r;
        code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
        while (code == SQLITE_OK || code == SQLITE_ROW) {
                code = sqlite3_step(statement);
                if (code == SQLITE_ROW) {
                        const char *text = (const char *) sqlite3_column_text(statement, 0);
                        if (!text)
                                return failure_out_of_memory(failure);
                        r = strcmp(text, "ok") == 0
                                ? 0
                                : texts_add(&check->problems, NULL, text, failure);
                        if (r < 0)
                                return r;
                }
        }
        return answer_of(check, db, code, failure);
}

/* Stands in for a collation that this program does not have. */
static int compare_bytes(void *userdata, int a_size, const void *a, int b_size, const void *b) {
        int common = a_size < b_size ? a_size : b_size;
        int difference = common > 0 ? memcmp(a, b, (size_t) common) : 0;

        (void) userdata;
        return difference ? difference : a_size - b_size;
}

static void stand_in(void *userdata, sqlite3 *db, int encoding, const char *name) {
        (void) userdata;
        (void) sqlite3_create_collation(db, name, encoding, NULL, compare_bytes);
}

/* All pages of the file, of whatever table, freelist included, but not whether indices agree with
 * their tables: this needs no function, collation or module. What cannot be undone on a connection
 * is done on one of its own. */
static int check_structure(struct Check *check, const char *path, struct Failure *failure) {
        _cleanup_sqlite_ sqlite3 *db = NULL;
        char sql[64];
        int r;

        r = sqlite_open(path, SQLITE_MODE_IMMUTABLE, &db, failure);
        if (r < 0)
                return r;
        r = sqlite_execute(db, CHECK_CACHE, failure);
        if (r < 0)
                return r;
        /* Without a module SQLite passes the virtual table by; its tables are tables like any. */
        (void) sqlite3_drop_modules(db, NULL);
        (void) sqlite3_collation_needed(db, NULL, stand_in);
        set_cancellable(db, check->operation);
        (void) snprintf(sql, sizeof sql, "PRAGMA quick_check(%d)", PROBLEMS_MAX);
        r = run_check(check, db, sql, failure);
        if (r == NOT_CHECKABLE)
                r = texts_add(&check->unchecked, "pages of the file", sqlite3_errmsg(db), failure);
        return r;
}

/* A statement about one table, its name quoted: `format` has one %w. */
static int run_on_table(struct Check *check, sqlite3 *db, const char *format, const char *table,
        struct Failure *failure) {
        char *sql = sqlite3_mprintf(format, table);
        int r = sql ? run_check(check, db, sql, failure) : failure_out_of_memory(failure);

        sqlite3_free(sql);
        if (r == NOT_CHECKABLE)
                r = texts_add(&check->unchecked, table, sqlite3_errmsg(db), failure);
        return r;
}

/* Can it be opened here, if it is virtual? With `all`, what can be opened is checked too, with its
 * indices. */
static int check_table(struct Check *check, sqlite3 *db, const char *name, bool is_virtual,
        bool all, struct Failure *failure) {
        size_t unchecked = check->unchecked.n;
        int r = 0;

        if (is_virtual)
                r = run_on_table(check, db, "SELECT 'ok' FROM \"%w\" LIMIT 0", name, failure);
        if (r < 0 || !all || check->unchecked.n > unchecked)
                return r;
        return run_on_table(check, db, "PRAGMA integrity_check(\"%w\")", name, failure);
}

static int check_tables(struct Check *check, sqlite3 *db, bool all, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *tables = NULL;
        int r, code;

        r = sqlite_prepare(db,
                "SELECT name, rootpage = 0 FROM sqlite_schema WHERE type = 'table' ORDER BY name",
                &tables, failure);
        if (r < 0)
                return r;
        while ((code = sqlite3_step(tables)) == SQLITE_ROW) {
                const char *name = (const char *) sqlite3_column_text(tables, 0);
                bool is_virtual = sqlite3_column_int(tables, 1); /* it has no page of its own */

                r = name ? check_table(check, db, name, is_virtual, all, failure)
                         : failure_out_of_memory(failure);
                if (r < 0)
                        return r;
        }
        return code == SQLITE_DONE ? 0 : sqlite_failure(db, failure, "list the tables");
}

static int check_all(struct Check *check, sqlite3 *db, struct Failure *failure) {
        char sql[64];
        int r, freelist;

        (void) snprintf(sql, sizeof sql, "PRAGMA integrity_check(%d)", PROBLEMS_MAX);
        r = run_check(check, db, sql, failure);
        if (r < 0 || check->problems.n > 0)
                return r;
        /* SQLite (3.46 still) takes the check of a database whose schema ends with a view or a
         * virtual table for one of a single table, and leaves the freelist out. */
        freelist = run_check(check, db, "PRAGMA integrity_check(sqlite_schema)", failure);
        if (freelist < 0 || check->problems.n > 0)
                return freelist;
        if (r == CHECKED)
                return check_tables(check, db, false, failure);

        /* One table that needs what is not here (a tokenizer, a collation, a function) makes the
         * whole pragma fail. All that it would have looked at is looked at in parts. */
        r = check_structure(check, sqlite3_db_filename(db, "main"), failure);
        if (r < 0 || check->problems.n > 0)
                return r;
        return check_tables(check, db, true, failure);
}

int sqlite_check_integrity(const struct Operation *operation, sqlite3 *db, char **ret_problem,
        char **ret_unchecked, struct Failure *failure) {
        _cleanup_(check_clear) struct Check check = { .operation = operation };
        _cleanup_free_ char *problem = NULL, *unchecked = NULL;
        int r;

        r = sqlite_execute(db, CHECK_CACHE, failure);
        if (r < 0)
                return r;
        set_cancellable(db, operation);
        r = check_all(&check, db, failure);
        sqlite3_progress_handler(db, 0, NULL, NULL);
        if (r < 0)
                return r;
        r = texts_take(&check.problems, &problem, failure);
        if (r < 0)
                return r;
        r = texts_take(&check.unchecked, &unchecked, failure);
        if (r < 0)
                return r;
        *ret_problem = STEAL(problem);
        *ret_unchecked = STEAL(unchecked);
        return 0;
}

static int count_violations(
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

int sqlite_check_foreign_keys(const struct Operation *operation, sqlite3 *db,
        uint64_t *ret_violations, char **ret_table, struct Failure *failure) {
        int r;

        set_cancellable(db, operation);
        r = count_violations(db, ret_violations, ret_table, failure);
        sqlite3_progress_handler(db, 0, NULL, NULL);
        return r;
}
