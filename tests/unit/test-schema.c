/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/schema.h"

#include <errno.h>
#include <pthread.h>

#include "index-fixture.h"
#include "lib/knowledge/lexical.h"
#include "store-fixture.h"

static sqlite3 *create(struct StoreFixture *f, const char *sql) {
        _cleanup_free_ char *path = NULL;
        sqlite3 *db = NULL;

        assert_true(asprintf(&path, "%s/test.db", f->root) > 0);
        assert_success(f, sqlite_open(path, SQLITE_MODE_CREATE, &db, &f->failure));
        assert_success(f, sqlite_execute(db, sql, &f->failure));
        return db;
}

static sqlite3 *create_version(struct StoreFixture *f, int version, const char *sql) {
        sqlite3 *db = create(f, "");
        char pragmas[128];

        for (int step = 0; step < version; step++)
                assert_success(f, sqlite_execute(db, schema_migrations[step], &f->failure));
        (void) snprintf(pragmas, sizeof pragmas,
                "PRAGMA application_id = %d; PRAGMA user_version = %d", SQLITE_APPLICATION_ID,
                version);
        assert_success(f, sqlite_execute(db, pragmas, &f->failure));
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
                _cleanup_sqlite_ sqlite3 *db = create_version(f, version, "");

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

static const char some_chunks[] =
        "INSERT INTO documents VALUES"
        " (1, 'vault', 'lab/a.md', 'A', '[\"optics\"]', '[]', 1, 1, 1, 1, 'x', 1),"
        " (2, 'drive', 'b.txt', 'B', '[]', '[]', 1, 1, 1, 2, 'y', 1);"
        "INSERT INTO chunks VALUES"
        " (3, 1, 0, 'A', '[\"Motors\"]', 'optics', 1, 2, 18, 'running over glass'),"
        " (8191, 1, 1, 'A', '[]', 'optics', 3, 4, 5, 'glass'),"
        " (8192, 2, 0, 'B', '[]', '', 1, 2, 9, 'M\xc3\xbchle 光学');"
        "INSERT INTO interactions (created_at, prompt) VALUES (1, 'kept');"
        "INSERT INTO state VALUES ('last_ingest_at', 7)";

/* A database as the first version wrote it: its index was kept in step by triggers. */
static sqlite3 *create_first_version(struct StoreFixture *f) {
        sqlite3 *db = create_version(
                f, 1, "PRAGMA trusted_schema = ON"); /* SQLite 3.40 trusts no FTS5 in triggers */

        assert_success(f, sqlite_execute(db, some_chunks, &f->failure));
        return db;
}

/* As the second one did: vectors of bytes as in lists, their lengths beside them, and no spans. */
static sqlite3 *create_second_version(struct StoreFixture *f) {
        sqlite3 *db = create_version(f, 2, some_chunks);

        assert_success(f,
                sqlite_execute(db,
                        "INSERT INTO terms VALUES (1, 'gone', 1), (7, 'glass', 2);"
                        "INSERT INTO postings VALUES (1, 1, x'0011'), (7, 0, x'0311fb3f10');"
                        "INSERT INTO chunk_terms VALUES (3, 14, x'0611'), (8191, 11, x'0610'),"
                        " (8192, 9, x'0010');"
                        "INSERT INTO state VALUES ('index_chunks', 3), ('index_length', 34)",
                        &f->failure));
        return db;
}

static void expect_found(
        struct StoreFixture *f, sqlite3 *db, const char *prompt, const int64_t *ids, size_t n) {
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words(prompt);
        _cleanup_index_reader_ struct IndexReader *reader = NULL;
        _cleanup_(ranking_done) struct Ranking ranking = { 0 };

        assert_int_equal(index_reader_new(db, &reader), 0);
        assert_success(f, lexical_rank(reader, NULL, words, 10, &ranking, &f->failure));
        assert_int_equal(ranking.n, n);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(ranking.best[i].id, ids[i]);
}

static void test_a_database_of_the_first_version_is_found_in_after_its_migration(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_sqlite_ sqlite3 *db = create_first_version(f);

        assert_success(f, schema_migrate(db, &f->failure));
        assert_int_equal(inspect(f, db), SCHEMA_CURRENT);
        assert_int_equal(query(f, db, "SELECT count(*) FROM documents"), 2);
        assert_int_equal(query(f, db, "SELECT group_concat(id, '') = '381918192' FROM chunks"), 1);
        assert_int_equal(query(f, db, "SELECT count(*) FROM interactions"), 1);
        assert_int_equal(query(f, db, "SELECT value FROM state WHERE key = 'last_ingest_at'"), 7);
        assert_int_equal(
                query(f, db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%fts%'"), 0);

        assert_index_is_of_its_chunks(db);
        expect_found(f, db, "run motors", (int64_t[]){ 3 }, 1);
        expect_found(f, db, "glass", (int64_t[]){ 8191, 3 }, 2);
        expect_found(f, db, "muhle", (int64_t[]){ 8192 }, 1);
        expect_found(f, db, "光学", (int64_t[]){ 8192 }, 1);
        expect_found(f, db, "lab", (int64_t[]){ 8191, 3 }, 2);

        /* Ids go on from where they were. */
        assert_success(f,
                sqlite_execute(db,
                        "DELETE FROM chunks WHERE id = 8192;"
                        "INSERT INTO chunks VALUES (NULL, 2, 0, 'B', '[]', '', 1, 2, 1, 'x')",
                        &f->failure));
        assert_int_equal(query(f, db, "SELECT max(id) FROM chunks"), 8193);
}

static void test_a_migration_that_fails_leaves_the_first_version_as_it_was(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_sqlite_ sqlite3 *db = create_first_version(f);

        /* What the index is made with, once its tables are there. */
        assert_success(f,
                sqlite_execute(
                        db, "CREATE TABLE chunk_terms (chunk_id, length, data)", &f->failure));
        assert_true(schema_migrate(db, &failure) < 0);
        assert_true(failure_is_set(&failure));
        assert_int_equal(sqlite3_get_autocommit(db), 1);
        assert_int_equal(query(f, db, "PRAGMA user_version"), 1);
        assert_int_equal(
                query(f, db, "SELECT count(*) FROM chunks_fts WHERE chunks_fts MATCH 'glass'"), 2);
        assert_int_equal(
                query(f, db, "SELECT count(*) FROM sqlite_schema WHERE name = 'terms'"), 0);

        assert_success(f, sqlite_execute(db, "DROP TABLE chunk_terms", &f->failure));
        assert_success(f, schema_migrate(db, &f->failure));
        assert_index_is_of_its_chunks(db);
}

static void test_a_database_of_the_second_version_gets_the_index_of_a_new_one(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_sqlite_ sqlite3 *fresh = create(f, "");
        _cleanup_free_ char *expected = NULL, *migrated = NULL;

        assert_success(f, schema_migrate(fresh, &f->failure));
        assert_success(f, sqlite_execute(fresh, some_chunks, &f->failure));
        assert_success(f, term_index_rebuild(fresh, &f->failure));
        expected = index_dump(fresh);
        assert_int_equal(unlink(sqlite3_db_filename(fresh, "main")), 0);

        _cleanup_sqlite_ sqlite3 *db = create_second_version(f);
        assert_success(f, schema_migrate(db, &f->failure));
        /* And all files are read again. */
        assert_int_equal(
                query(f, db, "SELECT count(*) FROM documents WHERE digest = '' AND inode = 0"),
                query(f, db, "SELECT count(*) FROM documents"));
        assert_int_equal(inspect(f, db), SCHEMA_CURRENT);
        migrated = index_dump(db);
        assert_string_equal(migrated, expected);
        assert_index_is_of_its_chunks(db);
        assert_int_equal(query(f, db, "SELECT value FROM state WHERE key = 'index_spans'"), 2);
        assert_int_equal(query(f, db, "SELECT last_chunk FROM span_terms"), 8191);
        assert_int_equal(query(f, db, "SELECT value FROM state WHERE key = 'last_ingest_at'"), 7);
        expect_found(f, db, "glass", (int64_t[]){ 8191, 3 }, 2);
}

static void test_a_migration_that_fails_leaves_the_second_version_as_it_was(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_sqlite_ sqlite3 *db = create_second_version(f);

        /* Chunks that cannot be read, once the vectors are gone. */
        assert_success(f, sqlite_execute(db, "ALTER TABLE chunks RENAME TO others", &f->failure));
        assert_true(schema_migrate(db, &failure) < 0);
        assert_true(failure_is_set(&failure));
        assert_int_equal(query(f, db, "PRAGMA user_version"), 2);
        assert_int_equal(query(f, db, "SELECT sum(length) FROM chunk_terms"), 34);
        assert_int_equal(query(f, db, "SELECT count(*) FROM postings"), 2);

        assert_success(f, sqlite_execute(db, "ALTER TABLE others RENAME TO chunks", &f->failure));
        assert_success(f, schema_migrate(db, &f->failure));
        assert_index_is_of_its_chunks(db);
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
                ON_FILE(test_a_database_of_the_first_version_is_found_in_after_its_migration),
                ON_FILE(test_a_migration_that_fails_leaves_the_first_version_as_it_was),
                ON_FILE(test_a_database_of_the_second_version_gets_the_index_of_a_new_one),
                ON_FILE(test_a_migration_that_fails_leaves_the_second_version_as_it_was),
                ON_STORE(test_the_ids_of_chunks_are_never_used_again),
                ON_STORE(test_a_path_is_one_document_of_its_source),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
