/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/store.h"

#include <errno.h>

#include "lib/base/lock.h"
#include "store-fixture.h"

static void assert_fails(struct StoreFixture *f, enum SqliteMode mode, enum EventId event) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Store *store = NULL;

        assert_true(store_open(&f->operation, mode, &store, &failure) < 0);
        assert_null(store);
        if (failure.event != event)
                fail_msg("%s: %s", event_code(failure.event), failure_message(&failure));
}

static void write_database(struct StoreFixture *f, const void *data, size_t size) {
        assert_int_equal(make_directories(f->root, f->layout->database_dir), 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, f->layout->database, data, size), 0);
}

static void test_create_makes_directories_and_database(void **state) {
        struct StoreFixture *f = *state;

        assert_success(f, store_open(&f->operation, SQLITE_MODE_CREATE, &f->store, &f->failure));
        assert_int_equal(access(f->layout->database, F_OK), 0);
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM documents"), 0);
}

static void test_without_a_storage_root_nothing_is_created(void **state) {
        struct StoreFixture *f = *state;

        assert_int_equal(rmdir(f->root), 0);
        assert_fails(f, SQLITE_MODE_CREATE, EVENT_STORAGE_ROOT_MISSING);
        assert_fails(f, SQLITE_MODE_READ, EVENT_STORAGE_ROOT_MISSING);
        assert_true(access(f->root, F_OK) < 0);
        assert_int_equal(mkdir(f->root, 0700), 0);
}

static void test_a_missing_database_is_told_and_not_created(void **state) {
        struct StoreFixture *f = *state;

        assert_fails(f, SQLITE_MODE_READ, EVENT_DATABASE_MISSING);
        assert_fails(f, SQLITE_MODE_WRITE, EVENT_DATABASE_MISSING);
        assert_int_equal(make_directories(f->root, f->layout->database_dir), 0);
        assert_fails(f, SQLITE_MODE_READ, EVENT_DATABASE_MISSING);
        assert_fails(f, SQLITE_MODE_WRITE, EVENT_DATABASE_MISSING);
        assert_true(access(f->layout->database, F_OK) < 0);
}

static void test_what_is_no_database_is_told(void **state) {
        struct StoreFixture *f = *state;
        char page[8192];

        write_database(f, "", 0);
        assert_fails(f, SQLITE_MODE_READ, EVENT_DATABASE_INVALID);
        assert_fails(f, SQLITE_MODE_WRITE, EVENT_DATABASE_INVALID);

        memset(page, 'x', sizeof page);
        write_database(f, page, sizeof page);
        assert_fails(f, SQLITE_MODE_READ, EVENT_DATABASE_INVALID);
        assert_fails(f, SQLITE_MODE_CREATE, EVENT_DATABASE_INVALID);
}

static void test_an_empty_file_is_taken_for_a_new_database_when_creating(void **state) {
        struct StoreFixture *f = *state;

        write_database(f, "", 0);
        assert_success(f, store_open(&f->operation, SQLITE_MODE_CREATE, &f->store, &f->failure));
        assert_int_equal(fixture_query(f, "SELECT count(*) FROM chunks"), 0);
}

static void test_a_foreign_database_is_never_written(void **state) {
        struct StoreFixture *f = *state;
        char before[DIGEST_HEX_SIZE], after[DIGEST_HEX_SIZE];
        _cleanup_free_ char *data = NULL, *now = NULL;
        sqlite3 *db = NULL;
        size_t size;

        write_database(f, "", 0);
        assert_success(f, sqlite_open(f->layout->database, SQLITE_MODE_CREATE, &db, &f->failure));
        assert_success(f, sqlite_execute(db, "CREATE TABLE theirs (x)", &f->failure));
        sqlite_close(db);
        assert_int_equal(read_file_at(AT_FDCWD, f->layout->database, 1 << 20, &data, &size), 0);
        assert_int_equal(digest_buffer(data, size, before), 0);

        assert_fails(f, SQLITE_MODE_READ, EVENT_DATABASE_FOREIGN);
        assert_fails(f, SQLITE_MODE_WRITE, EVENT_DATABASE_FOREIGN);
        assert_fails(f, SQLITE_MODE_CREATE, EVENT_DATABASE_FOREIGN);
        assert_int_equal(read_file_at(AT_FDCWD, f->layout->database, 1 << 20, &now, &size), 0);
        assert_int_equal(digest_buffer(now, size, after), 0);
        assert_string_equal(before, after);
}

static void test_a_reader_cannot_write(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_store_ struct Store *reader = NULL;

        assert_success(f, store_open(&f->operation, SQLITE_MODE_READ, &reader, &f->failure));
        assert_true(sqlite_execute(
                            store_database(reader), "INSERT INTO state VALUES ('x', 1)", NULL) < 0);
}

static void test_a_writer_syncs_each_commit(void **state) {
        struct StoreFixture *f = *state;

        assert_int_equal(fixture_query(f, "PRAGMA synchronous"), 2);
        assert_int_equal(fixture_query(f, "PRAGMA foreign_keys"), 1);
}

static void test_the_store_lock_is_held_while_it_is_open(void **state) {
        struct StoreFixture *f = *state;
        struct Lock *lock = NULL;

        assert_int_equal(lock_acquire(f->layout->store_lock, LOCK_MODE_EXCLUSIVE, &f->operation,
                                 &lock, NULL),
                -EAGAIN);
        f->store = store_close(f->store);
        assert_success(f,
                lock_acquire(f->layout->store_lock, LOCK_MODE_EXCLUSIVE, &f->operation, &lock,
                        &f->failure));
        assert_fails(f, SQLITE_MODE_READ, EVENT_LOCK_BUSY);
        lock_release(lock);
}

static void test_counts_are_of_all_tables(void **state) {
        struct StoreFixture *f = *state;
        struct StoreCounts counts;

        assert_success(f, store_counts(f->store, &counts, &f->failure));
        assert_int_equal(counts.documents + counts.chunks + counts.interactions, 0);
        assert_int_equal(counts.last_ingest_at, 0);

        int64_t document = fixture_add_document(f, "vault", "a.md");
        fixture_add_document(f, "vault", "b.md");
        for (int i = 0; i < 3; i++)
                fixture_add_chunk(f, document, "A", "[]", "text");
        fixture_execute(f,
                "INSERT INTO interactions (created_at, prompt) VALUES (1, 'x');"
                "INSERT INTO state VALUES ('last_ingest_at', 1775541600);"
                "CREATE TABLE memories (x); INSERT INTO memories VALUES (1), (2)");
        assert_success(f, store_counts(f->store, &counts, &f->failure));
        assert_int_equal(counts.documents, 2);
        assert_int_equal(counts.chunks, 3);
        assert_int_equal(counts.interactions, 1);
        assert_int_equal(counts.memories, 2);
        assert_int_equal(counts.last_ingest_at, 1775541600);
        assert_true(counts.database_bytes >= 4096);
}

static void assert_project_counts(struct StoreFixture *f, const struct IngestRoot *roots,
        size_t n_roots, uint64_t documents, uint64_t chunks) {
        char id[] = "p";
        struct Project project = { .id = id, .n_roots = n_roots };
        uint64_t n_documents, n_chunks;

        project.roots = malloc((n_roots + 1) * sizeof *roots);
        if (n_roots > 0)
                memcpy(project.roots, roots, n_roots * sizeof *roots);
        assert_success(
                f, store_project_counts(f->store, &project, &n_documents, &n_chunks, &f->failure));
        free(project.roots);
        assert_int_equal(n_documents, documents);
        assert_int_equal(n_chunks, chunks);
}

static void test_a_project_counts_what_is_below_its_roots_and_nothing_else(void **state) {
        struct StoreFixture *f = *state;
        static char vault[] = "vault", drive[] = "drive", all[] = "", p[] = "p", deep[] = "p/deep",
                    file[] = "p/a.md", none[] = "absent", umlaut[] = "\xc3\xa4";
        static const char *const paths[] = { "p/a.md", "p/deep/b.md", "p2/c.md", "p.md", "P/d.md",
                "p-x/e.md", "q/p/f.md", "p0", "\xc3\xa4/g.md", "\xf4\x8f\xbf\xbf" };

        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
                fixture_add_chunk(f, fixture_add_document(f, vault, paths[i]), "T", "[]", "x");
        fixture_add_chunk(f, fixture_add_document(f, drive, "p/other.md"), "T", "[]", "x");

        assert_project_counts(f, NULL, 0, 0, 0);
        assert_project_counts(f, &(struct IngestRoot){ vault, p, NULL }, 1, 2, 2);
        assert_project_counts(f, &(struct IngestRoot){ vault, file, NULL }, 1, 1, 1);
        assert_project_counts(f, &(struct IngestRoot){ vault, none, NULL }, 1, 0, 0);
        assert_project_counts(f, &(struct IngestRoot){ vault, umlaut, NULL }, 1, 1, 1);
        assert_project_counts(f, &(struct IngestRoot){ vault, all, NULL }, 1, 10, 10);
        assert_project_counts(f, &(struct IngestRoot){ drive, all, NULL }, 1, 1, 1);
        assert_project_counts(
                f, (struct IngestRoot[]){ { vault, p, NULL }, { vault, deep, NULL } }, 2, 2, 2);
        assert_project_counts(
                f, (struct IngestRoot[]){ { vault, p, NULL }, { drive, p, NULL } }, 2, 3, 3);
}

static void test_a_project_may_have_as_many_roots_as_the_registry_takes(void **state) {
        struct StoreFixture *f = *state;
        static struct IngestRoot roots[REGISTRY_ROOTS_MAX];
        static char vault[] = "vault", p[] = "p";

        fixture_add_chunk(f, fixture_add_document(f, vault, "p/a.md"), "T", "[]", "x");
        for (size_t i = 0; i < REGISTRY_ROOTS_MAX; i++)
                roots[i] = (struct IngestRoot){ vault, p, NULL };
        assert_project_counts(f, roots, REGISTRY_ROOTS_MAX, 1, 1);
}

int main(void) {
#define ON_ROOT(test)  cmocka_unit_test_setup_teardown(test, fixture_new, fixture_free)
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_new_with_store, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_create_makes_directories_and_database),
                ON_ROOT(test_without_a_storage_root_nothing_is_created),
                ON_ROOT(test_a_missing_database_is_told_and_not_created),
                ON_ROOT(test_what_is_no_database_is_told),
                ON_ROOT(test_an_empty_file_is_taken_for_a_new_database_when_creating),
                ON_ROOT(test_a_foreign_database_is_never_written),
                ON_STORE(test_a_reader_cannot_write),
                ON_STORE(test_a_writer_syncs_each_commit),
                ON_STORE(test_the_store_lock_is_held_while_it_is_open),
                ON_STORE(test_counts_are_of_all_tables),
                ON_STORE(test_a_project_counts_what_is_below_its_roots_and_nothing_else),
                ON_STORE(test_a_project_may_have_as_many_roots_as_the_registry_takes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
