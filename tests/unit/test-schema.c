/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/schema.h"

#include <errno.h>
#include <pthread.h>

#include "store-fixture.h"

static sqlite3 *create(struct StoreFixture *f, const char *sql) {
        _cleanup_free_ char *path = NULL;
        sqlite3 *db = NULL;

        assert_true(asprintf(&path, "%s/test.db", f->root) > 0);
        assert_success(f, sqlite_open(path, SQLITE_MODE_CREATE, &db, &f->failure));
        assert_success(f, sqlite_execute(db, sql, &f->failure));
        return db;
}

static enum SchemaState inspect(struct StoreFixture *f, sqlite3 *db) {
        enum SchemaState schema;
        int64_t version;

        assert_success(f, schema_inspect(db, &schema, &version, &f->failure));
        return schema;
}

static int64_t query(struct StoreFixture *f, sqlite3 *db, const char *sql) {
        int64_t value;

        assert_success(f, sqlite_query_int64(db, sql, &value, &f->failure));
        return value;
}

static void test_an_empty_database_becomes_ours(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_sqlite_ sqlite3 *db = create(f, "");

        assert_int_equal(inspect(f, db), SCHEMA_EMPTY);
        assert_success(f, schema_migrate(db, &f->failure));
        assert_int_equal(inspect(f, db), SCHEMA_CURRENT);
        assert_int_equal(query(f, db, "PRAGMA application_id"), SQLITE_APPLICATION_ID);
        assert_int_equal(query(f, db, "PRAGMA user_version"), SCHEMA_VERSION);
        assert_int_equal(query(f, db, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
}

static void test_migrating_a_current_database_changes_nothing(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_sqlite_ sqlite3 *db = create(f, "");

        assert_success(f, schema_migrate(db, &f->failure));
        int changes = sqlite3_total_changes(db);
        int64_t cookie = query(f, db, "PRAGMA schema_version");
        assert_success(f, schema_migrate(db, &f->failure));
        assert_int_equal(query(f, db, "PRAGMA schema_version"), cookie);
        assert_int_equal(sqlite3_total_changes(db), changes);
}

static void test_a_restored_database_is_brought_back_to_wal(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_sqlite_ sqlite3 *db = create(f, "");

        assert_success(f, schema_migrate(db, &f->failure));
        assert_success(f, sqlite_execute(db, "PRAGMA journal_mode = DELETE", &f->failure));
        assert_success(f, schema_migrate(db, &f->failure));
        assert_int_equal(query(f, db, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
}

static void assert_untouched(
        struct StoreFixture *f, sqlite3 *db, enum SchemaState expected, enum EventId event) {
        int64_t cookie = query(f, db, "PRAGMA schema_version");
        _cleanup_failure_ struct Failure failure = { 0 };

        assert_int_equal(inspect(f, db), expected);
        assert_int_equal(schema_migrate(db, &failure), -EMEDIUMTYPE);
        assert_int_equal(failure.event, event);
        assert_int_equal(query(f, db, "PRAGMA schema_version"), cookie);
        assert_int_equal(query(f, db, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 0);
}

static void test_foreign_databases_are_never_touched(void **state) {
        struct StoreFixture *f = *state;
        static const char *const foreign[] = {
                "CREATE TABLE documents (id)", /* no application_id, but tables */
                "PRAGMA application_id = 7",   /* another's, still empty */
                "PRAGMA user_version = 3",     /* somebody counts versions here */
                "CREATE TABLE t (x); PRAGMA application_id = 7; PRAGMA user_version = 1",
        };

        for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
                _cleanup_sqlite_ sqlite3 *db = create(f, foreign[i]);
                assert_untouched(f, db, SCHEMA_FOREIGN, EVENT_DATABASE_FOREIGN);
                assert_int_equal(unlink(sqlite3_db_filename(db, "main")), 0);
        }
}

static void test_a_database_of_a_later_atocore_is_not_touched(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_sqlite_ sqlite3 *db = create(f, "");

        assert_success(f, schema_migrate(db, &f->failure));
        assert_success(f,
                sqlite_execute(db, "PRAGMA journal_mode = DELETE; PRAGMA user_version = 999",
                        &f->failure));
        assert_untouched(f, db, SCHEMA_TOO_NEW, EVENT_DATABASE_TOO_NEW);
}

/* The schema as text, whichever way it came to be. */
static char *dump(struct StoreFixture *f, sqlite3 *db) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;

        assert_success(f,
                sqlite_prepare(db,
                        "SELECT group_concat(sql, char(10)) FROM"
                        " (SELECT sql FROM sqlite_schema ORDER BY name)",
                        &statement, &f->failure));
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        return strdup((const char *) sqlite3_column_text(statement, 0));
}

static void test_every_earlier_version_climbs_to_the_same_schema(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_sqlite_ sqlite3 *fresh = create(f, "");

        assert_success(f, schema_migrate(fresh, &f->failure));
        assert_int_equal(unlink(sqlite3_db_filename(fresh, "main")), 0);
        _cleanup_free_ char *expected = dump(f, fresh);

        for (int version = 0; version < SCHEMA_VERSION; version++) {
                _cleanup_sqlite_ sqlite3 *db = create(f, "");
                char pragmas[128];

                for (int step = 0; step < version; step++)
                        assert_success(f, sqlite_execute(db, schema_migrations[step], &f->failure));
                (void) snprintf(pragmas, sizeof pragmas,
                        "PRAGMA application_id = %d; PRAGMA user_version = %d",
                        SQLITE_APPLICATION_ID, version);
                assert_success(f, sqlite_execute(db, pragmas, &f->failure));

                assert_int_equal(inspect(f, db), SCHEMA_OLD);
                assert_success(f, schema_migrate(db, &f->failure));
                _cleanup_free_ char *migrated = dump(f, db);
                assert_string_equal(migrated, expected);
                assert_int_equal(unlink(sqlite3_db_filename(db, "main")), 0);
        }
}

static void test_a_step_that_fails_leaves_the_database_as_it_was(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_failure_ struct Failure failure = { 0 };
        char sql[128];

        /* The last statement of the first step meets something of this name. */
        (void) snprintf(sql, sizeof sql, "PRAGMA application_id = %d; CREATE TABLE state (x)",
                SQLITE_APPLICATION_ID);
        _cleanup_sqlite_ sqlite3 *db = create(f, sql);

        assert_true(schema_migrate(db, &failure) < 0);
        assert_true(failure_is_set(&failure));
        assert_int_equal(query(f, db, "PRAGMA user_version"), 0);
        assert_int_equal(query(f, db, "SELECT count(*) FROM sqlite_schema"), 1);
        assert_int_equal(sqlite3_get_autocommit(db), 1);
}

static void *migrate_thread(void *path) {
        _cleanup_sqlite_ sqlite3 *db = NULL;
        int r = sqlite_open(path, SQLITE_MODE_CREATE, &db, NULL);

        if (r >= 0)
                r = schema_migrate(db, NULL);
        return r < 0 ? path : NULL;
}

static void test_programs_that_start_at_once_migrate_once(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_free_ char *path = NULL;
        pthread_t threads[8];
        void *failed;

        assert_true(asprintf(&path, "%s/shared.db", f->root) > 0);
        for (size_t i = 0; i < 8; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, migrate_thread, path), 0);
        for (size_t i = 0; i < 8; i++) {
                assert_int_equal(pthread_join(threads[i], &failed), 0);
                assert_null(failed);
        }
        _cleanup_sqlite_ sqlite3 *db = NULL;
        assert_success(f, sqlite_open(path, SQLITE_MODE_READ, &db, &f->failure));
        assert_int_equal(inspect(f, db), SCHEMA_CURRENT);
}

/* The index. */

static int64_t matches(struct StoreFixture *f, const char *expression) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;

        assert_success(f,
                sqlite_prepare(store_database(f->store),
                        "SELECT count(*) FROM chunks_fts WHERE chunks_fts MATCH ?", &statement,
                        &f->failure));
        assert_int_equal(sqlite3_bind_text(statement, 1, expression, -1, SQLITE_STATIC), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        return sqlite3_column_int64(statement, 0);
}

/* By the index itself, against the chunks; and as anybody checks a database, who may not write and
 * does not trust its schema. */
static void assert_index_is_sound(struct StoreFixture *f) {
        _cleanup_sqlite_ sqlite3 *db = NULL;
        _cleanup_statement_ sqlite3_stmt *statement = NULL;

        fixture_execute(f,
                "INSERT INTO chunks_fts (chunks_fts, rank) VALUES"
                " ('integrity-check', 1)");
        assert_success(f, sqlite_open(f->layout->database, SQLITE_MODE_READ, &db, &f->failure));
        assert_success(f, sqlite_prepare(db, "PRAGMA integrity_check", &statement, &f->failure));
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        assert_string_equal((const char *) sqlite3_column_text(statement, 0), "ok");
}

static void test_the_index_follows_every_change_of_the_chunks(void **state) {
        struct StoreFixture *f = *state;
        int64_t document = fixture_add_document(f, "vault", "a.md");
        int64_t other = fixture_add_document(f, "vault", "b.md");

        fixture_add_chunk(f, document, "Note", "[\"Motors\",\"N\xc3\xa4he \\\"x\\\"\"]",
                "running over glass");
        fixture_add_chunk(f, other, "Other", "[]", "something else");
        assert_int_equal(matches(f, "glass"), 1);
        assert_int_equal(matches(f, "title:note"), 1);
        assert_int_equal(matches(f, "heading_path:motor"), 1); /* stemmed */
        assert_int_equal(matches(f, "heading_path:nahe"), 1);  /* without its diaeresis */
        assert_index_is_sound(f);

        fixture_execute(f,
                "UPDATE chunks SET content = 'walking', keywords = 'optics'"
                " WHERE content LIKE 'running%'");
        assert_int_equal(matches(f, "glass"), 0);
        assert_int_equal(matches(f, "walk"), 1);
        assert_int_equal(matches(f, "keywords:optics"), 1);
        assert_index_is_sound(f);

        fixture_execute(f, "DELETE FROM documents WHERE path = 'a.md'"); /* its chunks with it */
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM chunks"), 1);
        assert_int_equal(matches(f, "walk"), 0);
        assert_int_equal(matches(f, "else"), 1);
        assert_index_is_sound(f);
}

static void test_the_ids_of_chunks_are_never_used_again(void **state) {
        struct StoreFixture *f = *state;
        int64_t document = fixture_add_document(f, "vault", "a.md");
        int64_t first = fixture_add_chunk(f, document, "A", "[]", "one");

        fixture_execute(f, "DELETE FROM chunks");
        assert_true(fixture_add_chunk(f, document, "A", "[]", "two") > first);
}

static void test_a_path_is_one_document_of_its_source(void **state) {
        struct StoreFixture *f = *state;

        fixture_add_document(f, "vault", "a.md");
        fixture_add_document(f, "drive", "a.md");
        fixture_add_document(f, "vault", "A.md");
        assert_true(sqlite_execute(store_database(f->store),
                            "INSERT INTO documents SELECT NULL, source, path, title, tags, aliases,"
                            " size, mtime_ns, ctime_ns, inode, digest, ingested_at FROM documents",
                            NULL) < 0);
}

int main(void) {
#define ON_FILE(test)  cmocka_unit_test_setup_teardown(test, fixture_new, fixture_free)
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_new_with_store, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_FILE(test_an_empty_database_becomes_ours),
                ON_FILE(test_migrating_a_current_database_changes_nothing),
                ON_FILE(test_a_restored_database_is_brought_back_to_wal),
                ON_FILE(test_foreign_databases_are_never_touched),
                ON_FILE(test_a_database_of_a_later_atocore_is_not_touched),
                ON_FILE(test_every_earlier_version_climbs_to_the_same_schema),
                ON_FILE(test_a_step_that_fails_leaves_the_database_as_it_was),
                ON_FILE(test_programs_that_start_at_once_migrate_once),
                ON_STORE(test_the_index_follows_every_change_of_the_chunks),
                ON_STORE(test_the_ids_of_chunks_are_never_used_again),
                ON_STORE(test_a_path_is_one_document_of_its_source),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
