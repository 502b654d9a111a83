/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/table-counts.h"
#include "tests/unit/backup-fixture.h"

/* The counts as text; the caller frees. */
static char *count(struct Fixture *f, const char *sql, int64_t *ret_version) {
        _cleanup_json_ json_object *counts = json_object_new_object();

        MUST(mkdir(scratch("db"), 0750) >= 0);
        database_make(scratch("db/atocore.db"), sql);
        assert_success(f, table_counts(scratch_directory, counts, ret_version, &f->failure));
        return strdup(json_object_to_json_string_ext(counts, JSON_C_TO_STRING_PLAIN));
}

static void assert_counts(struct Fixture *f, const char *sql, const char *expected) {
        int64_t version;
        _cleanup_free_ char *text = count(f, sql, &version);

        assert_string_equal(text, expected);
}

static void test_each_table_is_counted_by_its_name(void **state) {
        assert_counts(*state,
                "CREATE TABLE \"b\"\"q\"(x); INSERT INTO \"b\"\"q\" VALUES (1), (NULL);"
                "CREATE TABLE \"a b\"(x); CREATE TABLE \"select\"(x PRIMARY KEY) WITHOUT ROWID;"
                "CREATE TABLE \"%s\"(x); CREATE TABLE \"\"(x); INSERT INTO \"\" VALUES (1);",
                "{\"\":1,\"%s\":0,\"a b\":0,\"b\\\"q\":2,\"select\":0}");
}

static void test_only_ordinary_tables_count(void **state) {
        assert_counts(*state,
                "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (1);"
                "CREATE VIEW v AS SELECT * FROM t; CREATE VIEW broken AS SELECT * FROM gone;"
                "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('x');"
                "CREATE INDEX i ON t(id);",
                "{\"t\":1}");
}

static void test_what_needs_a_program_of_its_own_is_counted_all_the_same(void **state) {
        assert_counts(*state,
                "CREATE TABLE a(x TEXT COLLATE reversed, y, z); CREATE INDEX i ON a(x);"
                "INSERT INTO a(x) VALUES ('x'), ('y');"
                "CREATE TABLE b(x, y AS (twice(x)) STORED); INSERT INTO b(x) VALUES (1);"
                "CREATE TABLE c(x TEXT COLLATE reversed PRIMARY KEY) WITHOUT ROWID;"
                "CREATE TABLE d(x); INSERT INTO d VALUES (1);",
                "{\"a\":2,\"b\":1,\"c\":null,\"d\":1}");
}

static void test_the_version_is_that_of_the_user(void **state) {
        int64_t version = 0;
        _cleanup_free_ char *text = count(*state, "PRAGMA user_version=-12", &version);

        assert_int_equal(version, -12);
        assert_string_equal(text, "{}");
}

static void test_what_is_no_database_fails(void **state) {
        struct Fixture *f = *state;
        _cleanup_json_ json_object *counts = json_object_new_object();
        int64_t version = 99;

        MUST(mkdir(scratch("db"), 0750) >= 0);
        scratch_write(scratch("db/atocore.db"), "text", 4);
        assert_int_equal(table_counts(scratch_directory, counts, &version, &f->failure), -EBADMSG);
        assert_int_equal(f->failure.event, EVENT_DATABASE_INVALID);
        assert_int_equal(version, 99);
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_each_table_is_counted_by_its_name),
                ON_ROOT(test_only_ordinary_tables_count),
                ON_ROOT(test_what_needs_a_program_of_its_own_is_counted_all_the_same),
                ON_ROOT(test_the_version_is_that_of_the_user),
                ON_ROOT(test_what_is_no_database_fails),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
