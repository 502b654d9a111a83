/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <endian.h>

#include "tests/unit/database.h"

#define NOTES                                                                                      \
        "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT NOT NULL, n INTEGER);"               \
        "CREATE INDEX notes_body ON notes(body);"                                                  \
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000)"           \
        "INSERT INTO notes(body, n) SELECT printf('note %05d', (i * 7919) % 10007), i FROM c;"

/* A table that has an index of one page. */
#define SMALL                                                                                      \
        "CREATE TABLE small(a); CREATE INDEX small_a ON small(a);"                                 \
        "INSERT INTO small SELECT n FROM notes WHERE n < 50;"

/* Leaves free pages. */
#define GONE "CREATE TABLE gone AS SELECT zeroblob(1000000); DROP TABLE gone;"

/* What SQLite itself has to offer. */
#define BUILT_IN                                                                                   \
        "CREATE TABLE pairs(k TEXT PRIMARY KEY, v) WITHOUT ROWID;"                                 \
        "INSERT INTO pairs SELECT body || id, n FROM notes;"                                       \
        "CREATE TABLE typed(a INTEGER, b TEXT) STRICT; INSERT INTO typed VALUES (1, 'x');"         \
        "CREATE TABLE generated(a, b AS (a * 2), c AS (a + 1) STORED);"                            \
        "INSERT INTO generated(a) VALUES (1), (2);"                                                \
        "CREATE INDEX lower ON notes(lower(body)); CREATE INDEX part ON notes(n) WHERE n > 5;"     \
        "CREATE VIRTUAL TABLE search USING fts5(body, content='notes', content_rowid='id',"        \
        "       tokenize='porter unicode61 remove_diacritics 2');"                                 \
        "INSERT INTO search(search) VALUES ('rebuild');"                                           \
        "CREATE VIRTUAL TABLE plain5 USING fts5(x); INSERT INTO plain5 VALUES ('a b c');"          \
        "CREATE VIRTUAL TABLE empty5 USING fts5(x, content='');"                                   \
        "CREATE VIRTUAL TABLE plain4 USING fts4(x); INSERT INTO plain4 VALUES ('a b c');"          \
        "CREATE VIRTUAL TABLE boxes USING rtree(id, a, b); INSERT INTO boxes VALUES (1, 2, 3);"    \
        "CREATE VIEW seen AS SELECT * FROM notes;"                                                 \
        "CREATE TABLE \"odd \"\"name\"\", it's\"(x UNIQUE); ANALYZE;"

/* What needs something that AtoCore does not have. */
static const struct {
        const char *sql;
        const char *table;
        const char *why;
} foreign[] = {
        { "CREATE VIRTUAL TABLE f5 USING fts5(x); INSERT INTO f5 VALUES ('a b c');"
          "PRAGMA writable_schema=ON;"
          "UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE f5 USING fts5(x,"
          "       tokenize=''nosuch'')' WHERE name = 'f5';",
                "f5", "nosuch" },
        { "CREATE VIRTUAL TABLE f4 USING fts4(x); INSERT INTO f4 VALUES ('a b c');"
          "PRAGMA writable_schema=ON;"
          "UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE f4 USING fts4(x,"
          "       tokenize=nosuch)' WHERE name = 'f4';",
                "f4", "nosuch" },
        { "PRAGMA writable_schema=ON;"
          "INSERT INTO sqlite_schema VALUES ('table', 'other', 'other', 0,"
          "       'CREATE VIRTUAL TABLE other USING nosuch(a, b)');",
                "other", "nosuch" },
        { "CREATE TABLE sorted(a TEXT COLLATE reversed, b); CREATE INDEX sorted_a ON sorted(a);"
          "INSERT INTO sorted SELECT body, n FROM notes;",
                "sorted", "reversed" },
        { "CREATE TABLE keyed(a TEXT COLLATE reversed PRIMARY KEY, b) WITHOUT ROWID;"
          "INSERT INTO keyed SELECT body || id, n FROM notes;",
                "keyed", "reversed" },
        { "CREATE TABLE doubled(a, b); CREATE INDEX doubled_a ON doubled(twice(a));"
          "INSERT INTO doubled SELECT n, n FROM notes;",
                "doubled", "twice" },
        { "CREATE TABLE made(a, b NOT NULL AS (twice(a)), c AS (twice(a)) STORED NOT NULL);"
          "INSERT INTO made(a) VALUES (1), (2);",
                "made", "twice" },
};
#define N_FOREIGN (sizeof foreign / sizeof foreign[0])

struct Verdict {
        char *problem, *unchecked;
};

static void verdict_clear(struct Verdict *verdict) {
        free(verdict->problem);
        free(verdict->unchecked);
}

#define _cleanup_verdict_ _cleanup_(verdict_clear)

static struct Verdict check(const char *path) {
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_sqlite_ sqlite3 *db = NULL;
        struct Verdict verdict = { 0 };

        if (sqlite_open(path, SQLITE_MODE_IMMUTABLE, &db, &failure) < 0 ||
                sqlite_check_integrity(NULL, db, &verdict.problem, &verdict.unchecked, &failure) <
                        0)
                fail_msg("%s", failure_message(&failure));
        assert_false(failure_is_set(&failure));
        if (verdict.problem)
                assert_null(strchr(verdict.problem, '\n'));
        if (verdict.unchecked)
                assert_null(strchr(verdict.unchecked, '\n'));
        return verdict;
}

static void assert_sound(const struct Verdict *verdict) {
        if (verdict->problem)
                fail_msg("problem: %s", verdict->problem);
        if (verdict->unchecked)
                fail_msg("unchecked: %s", verdict->unchecked);
}

static void assert_contains(const char *text, const char *part) {
        if (!text || !strstr(text, part))
                fail_msg("\"%s\" does not say \"%s\"", text ? text : "", part);
}

/* The page that `table` or index begins on. */
static off_t root_page(const char *path, const char *name) {
        sqlite3 *db = database_open(path);
        char sql[256];
        int64_t page;

        (void) snprintf(
                sql, sizeof sql, "SELECT rootpage FROM sqlite_schema WHERE name = '%s'", name);
        page = database_int64(db, sql);
        database_close(db);
        MUST(page > 1);
        return (off_t) page;
}

static off_t first_free_page(const char *path) {
        _cleanup_free_ char *data = scratch_read(path, NULL);
        uint32_t page;

        memcpy(&page, data + 32, 4);
        MUST(page != 0);
        return (off_t) be32toh(page);
}

static void damage_page(const char *path, off_t page) {
        database_damage(path, (page - 1) * 4096, 4096);
}

/* Leaves an index without its entries: each page of the file is in order, the content is not. */
static void empty_index(const char *path, const char *name) {
        char page[4096] = { 0 };
        off_t offset = (root_page(path, name) - 1) * 4096;
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        page[0] = 0x0a; /* a leaf of an index, https://sqlite.org/fileformat.html §1.6 */
        page[5] = 0x10; /* cell content begins at the end of the page */
        MUST(fd >= 0 && pwrite(fd, page, sizeof page, offset) == sizeof page);
        MUST(close(fd) >= 0);
}

/* Databases of our own making. */

static void test_sound_database_has_no_problem_and_nothing_unchecked(void **state) {
        (void) state;
        database_make(scratch("x.db"), NOTES BUILT_IN);
        size_t size, size_after;
        _cleanup_free_ char *before = scratch_read(scratch("x.db"), &size);
        _cleanup_verdict_ struct Verdict verdict = check(scratch("x.db"));
        _cleanup_free_ char *after = scratch_read(scratch("x.db"), &size_after);

        assert_sound(&verdict);
        assert_int_equal(size_after, size);
        assert_memory_equal(after, before, size);
        assert_int_equal(scratch_entries(scratch_directory), 1);
}

static void test_database_without_a_table_is_sound(void **state) {
        (void) state;
        database_make(scratch("x.db"), "PRAGMA user_version=1; VACUUM");
        _cleanup_verdict_ struct Verdict verdict = check(scratch("x.db"));
        assert_sound(&verdict);
}

/* A leaf of the freelist holds nothing and is never read: https://sqlite.org/fileformat.html §1.5
 */
static bool is_free_leaf(const char *data, off_t page) {
        uint32_t trunk, next, n, leaf;

        memcpy(&trunk, data + 32, 4);
        for (trunk = be32toh(trunk); trunk != 0; trunk = be32toh(next)) {
                const char *at = data + (size_t) (trunk - 1) * 4096;

                memcpy(&next, at, 4);
                memcpy(&n, at + 4, 4);
                for (uint32_t i = 0; i < be32toh(n); i++) {
                        memcpy(&leaf, at + 8 + (size_t) i * 4, 4);
                        if (be32toh(leaf) == (uint32_t) page)
                                return true;
                }
        }
        return false;
}

static void test_every_broken_page_is_found(void **state) {
        size_t size;

        (void) state;
        database_make(scratch("x.db"), NOTES BUILT_IN "DELETE FROM notes WHERE id > 1500;");
        _cleanup_free_ char *sound = scratch_read(scratch("x.db"), &size);
        assert_true(size % 4096 == 0 && size / 4096 > 60);
        for (off_t page = 2; page <= (off_t) size / 4096; page++) {
                _cleanup_failure_ struct Failure failure = { 0 };
                _cleanup_sqlite_ sqlite3 *db = NULL;

                scratch_write(scratch("x.db"), sound, size);
                database_damage(scratch("x.db"), (page - 1) * 4096, 16);
                if (sqlite_open(scratch("x.db"), SQLITE_MODE_IMMUTABLE, &db, &failure) < 0)
                        continue;
                char *problem = NULL, *unchecked = NULL;
                assert_int_equal(
                        sqlite_check_integrity(NULL, db, &problem, &unchecked, &failure), 0);
                if (!problem && !is_free_leaf(sound, page))
                        fail_msg("page %jd is broken and nothing was found", (intmax_t) page);
                free(problem);
                free(unchecked);
        }
}

static void test_index_that_lost_its_entries_is_found(void **state) {
        (void) state;
        database_make(scratch("x.db"), NOTES SMALL BUILT_IN);
        empty_index(scratch("x.db"), "small_a");
        _cleanup_verdict_ struct Verdict verdict = check(scratch("x.db"));
        assert_contains(verdict.problem, "small_a");
        assert_true(strlen(verdict.problem) < 2000); /* not one for each row */
}

static void test_cut_off_database_is_not_sound(void **state) {
        struct stat st;
        sqlite3 *db = NULL;

        (void) state;
        database_make(scratch("x.db"), NOTES);
        assert_int_equal(stat(scratch("x.db"), &st), 0);
        assert_int_equal(truncate(scratch("x.db"), st.st_size - 4096), 0);
        assert_int_equal(sqlite_open(scratch("x.db"), SQLITE_MODE_IMMUTABLE, &db, NULL), -EBADMSG);
}

/* SQLite passes it by where the schema ends with a view. */
static void test_broken_freelist_is_found_whatever_the_schema_ends_with(void **state) {
        static const char *const ends[] = { "", "CREATE VIEW last AS SELECT * FROM notes;",
                "CREATE VIRTUAL TABLE last USING fts5(x);" };

        (void) state;
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
                _cleanup_free_ char *sql = NULL;

                MUST(asprintf(&sql, "%s%s%s", NOTES, GONE, ends[i]) > 0);
                (void) unlink(scratch("x.db"));
                database_make(scratch("x.db"), sql);
                damage_page(scratch("x.db"), first_free_page(scratch("x.db")));
                _cleanup_verdict_ struct Verdict verdict = check(scratch("x.db"));
                assert_contains(verdict.problem, "reelist");
        }
}

/* In a file that is in order, by a constraint added later. CHECK is no matter of a reader: SQLite
 * leaves it out of the schema of a read-only connection. */
static void test_null_where_none_may_be_is_found(void **state) {
        (void) state;
        database_make(scratch("x.db"),
                "CREATE TABLE t(a, b); INSERT INTO t VALUES (NULL, -1); PRAGMA writable_schema=ON;"
                "UPDATE sqlite_schema SET sql = 'CREATE TABLE t(a NOT NULL, b CHECK (twice(b)))';");
        _cleanup_verdict_ struct Verdict verdict = check(scratch("x.db"));
        assert_contains(verdict.problem, "NULL value in t.a");
        assert_null(verdict.unchecked);
}

/* Databases of others. */

static void make_foreign(size_t i, const char *more) {
        _cleanup_free_ char *sql = NULL;

        MUST(asprintf(&sql, "%s%s%s", NOTES SMALL BUILT_IN, more, foreign[i].sql) > 0);
        (void) unlink(scratch("x.db"));
        database_make(scratch("x.db"), sql);
}

static void test_table_that_needs_what_is_not_here_is_no_damage(void **state) {
        (void) state;
        for (size_t i = 0; i < N_FOREIGN; i++) {
                make_foreign(i, "");
                _cleanup_verdict_ struct Verdict verdict = check(scratch("x.db"));

                if (verdict.problem)
                        fail_msg("%s: problem: %s", foreign[i].table, verdict.problem);
                assert_contains(verdict.unchecked, foreign[i].table);
                assert_contains(verdict.unchecked, foreign[i].why);
                /* And nothing else, but for the pages as a whole where a function makes a column.
                 */
                if (strcmp(foreign[i].table, "made") != 0)
                        assert_null(strchr(verdict.unchecked, ';'));
        }
}

static void test_damage_beside_such_a_table_is_found(void **state) {
        (void) state;
        for (size_t i = 0; i < N_FOREIGN; i++) {
                make_foreign(i, "");
                empty_index(scratch("x.db"), "small_a");
                _cleanup_verdict_ struct Verdict lost = check(scratch("x.db"));
                assert_contains(lost.problem, "small_a");

                make_foreign(i, "");
                damage_page(scratch("x.db"), root_page(scratch("x.db"), "notes"));
                _cleanup_verdict_ struct Verdict broken = check(scratch("x.db"));
                assert_non_null(broken.problem);

                make_foreign(i, GONE);
                damage_page(scratch("x.db"), first_free_page(scratch("x.db")));
                _cleanup_verdict_ struct Verdict freelist = check(scratch("x.db"));
                if (!freelist.problem)
                        fail_msg("%s: broken freelist was not found", foreign[i].table);
        }
}

static void test_damage_of_such_a_table_is_found(void **state) {
        static const struct {
                size_t i;
                const char *page;
        } rows[] = { { 0, "f5_data" }, { 1, "f4_content" }, { 3, "sorted" }, { 3, "sorted_a" },
                { 4, "keyed" }, { 5, "doubled" }, { 5, "doubled_a" } };

        (void) state;
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
                make_foreign(rows[k].i, "");
                damage_page(scratch("x.db"), root_page(scratch("x.db"), rows[k].page));
                _cleanup_verdict_ struct Verdict verdict = check(scratch("x.db"));
                if (!verdict.problem)
                        fail_msg("broken page of %s was not found", rows[k].page);
        }
}

static void test_many_such_tables_are_counted(void **state) {
        static const char sql[] =
                NOTES "PRAGMA writable_schema=ON;"
                      "INSERT INTO sqlite_schema SELECT 'table', 'v' || n, 'v' || n, 0,"
                      "'CREATE VIRTUAL TABLE v' || n || ' USING nosuch(a)' FROM notes"
                      " WHERE n <= 30;";

        (void) state;
        database_make(scratch("x.db"), sql);
        _cleanup_verdict_ struct Verdict verdict = check(scratch("x.db"));
        assert_null(verdict.problem);
        assert_contains(verdict.unchecked, "v1: ");
        assert_contains(verdict.unchecked, "; and 20 more");
}

/* Ways to end. */

static bool is_cancelled(void *userdata) {
        unsigned *left = userdata;

        return *left == 0 || --*left == 0;
}

static void test_cancelled_check_ends_and_leaves_the_connection_usable(void **state) {
        (void) state;
        /* The check in one and the one in parts, cancelled at each place where they ask. */
        for (size_t i = 0; i < 2; i++) {
                _cleanup_sqlite_ sqlite3 *db = NULL;
                unsigned places = 0, left = 0;

                if (i == 0)
                        database_make(scratch("x.db"), NOTES BUILT_IN);
                else
                        make_foreign(3, "");
                assert_int_equal(sqlite_open(scratch("x.db"), SQLITE_MODE_IMMUTABLE, &db, NULL), 0);
                for (bool done = false; !done; places++) {
                        struct Operation operation = { .cancelled = is_cancelled,
                                .userdata = &left };
                        _cleanup_failure_ struct Failure failure = { 0 };
                        _cleanup_verdict_ struct Verdict verdict = { 0 };
                        int r;

                        left = places + 1;
                        r = sqlite_check_integrity(
                                &operation, db, &verdict.problem, &verdict.unchecked, &failure);
                        done = r == 0;
                        if (done)
                                break;
                        assert_int_equal(r, -EINTR);
                        assert_int_equal(failure.event, EVENT_INTERRUPTED);
                        assert_null(verdict.problem);
                        assert_null(verdict.unchecked);
                        /* What follows on the connection is not cancelled. */
                        assert_int_equal(
                                database_int64(db,
                                        "SELECT count(*) FROM notes a, notes b WHERE a.n < 100"),
                                99 * 2000);
                }
                assert_true(places > 2);
        }
}

/* Foreign keys. */

#define FAMILY                                                                                     \
        "CREATE TABLE parent(id INTEGER PRIMARY KEY, name TEXT);"                                  \
        "CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES parent(id));"                \
        "CREATE TABLE other(parent REFERENCES parent(id));"                                        \
        "INSERT INTO parent(id) VALUES (1), (2);"

static void test_violated_foreign_keys_are_counted(void **state) {
        static const struct {
                const char *sql, *table;
                uint64_t n;
        } rows[] = {
                { FAMILY "INSERT INTO child VALUES (1, 1), (2, NULL);", NULL, 0 },
                { FAMILY "INSERT INTO child VALUES (1, 1), (2, 7), (3, 8);", "child", 2 },
                { FAMILY "INSERT INTO other VALUES (7);", "other", 1 },
                { "CREATE TABLE lonely(x REFERENCES nowhere(y)); INSERT INTO lonely VALUES (1);",
                        "lonely", 1 },
                { "CREATE TABLE unrelated(x);", NULL, 0 },
        };

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                _cleanup_sqlite_ sqlite3 *db = NULL;
                _cleanup_free_ char *table = NULL;
                uint64_t n = 42;

                (void) unlink(scratch("x.db"));
                database_make(scratch("x.db"), rows[i].sql);
                assert_int_equal(sqlite_open(scratch("x.db"), SQLITE_MODE_IMMUTABLE, &db, NULL), 0);
                assert_int_equal(sqlite_check_foreign_keys(NULL, db, &n, &table, NULL), 0);
                assert_int_equal(n, rows[i].n);
                if (rows[i].table)
                        assert_string_equal(table, rows[i].table);
                else
                        assert_null(table);
        }
}

static void test_foreign_key_that_cannot_be_checked_is_told(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_sqlite_ sqlite3 *db = NULL;
        char *table = NULL;
        uint64_t n = 42;

        (void) state;
        database_make(scratch("x.db"),
                FAMILY "CREATE TABLE named(name REFERENCES parent(name));"
                       "INSERT INTO named VALUES ('x');");
        assert_int_equal(sqlite_open(scratch("x.db"), SQLITE_MODE_IMMUTABLE, &db, NULL), 0);
        assert_int_equal(sqlite_check_foreign_keys(NULL, db, &n, &table, &failure), -EIO);
        assert_int_equal(failure.event, EVENT_DATABASE_FAILED);
        assert_contains(failure.message, "foreign key mismatch");
        assert_null(table);
        assert_int_equal(n, 42);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_sound_database_has_no_problem_and_nothing_unchecked, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_database_without_a_table_is_sound, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_every_broken_page_is_found, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_index_that_lost_its_entries_is_found, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_cut_off_database_is_not_sound, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_broken_freelist_is_found_whatever_the_schema_ends_with, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_null_where_none_may_be_is_found, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_table_that_needs_what_is_not_here_is_no_damage,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_damage_beside_such_a_table_is_found, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_damage_of_such_a_table_is_found, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_many_such_tables_are_counted, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_cancelled_check_ends_and_leaves_the_connection_usable, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_violated_foreign_keys_are_counted, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_foreign_key_that_cannot_be_checked_is_told,
                        scratch_setup, scratch_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
