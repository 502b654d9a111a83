/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/database.h"

#define NOTES "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);"
#define THREE "INSERT INTO notes(body) VALUES ('one'), ('two'), ('three');"

static const enum SqliteMode modes[] = { SQLITE_MODE_READ, SQLITE_MODE_WRITE, SQLITE_MODE_CREATE,
        SQLITE_MODE_SOURCE, SQLITE_MODE_IMMUTABLE };
#define N_MODES (sizeof modes / sizeof modes[0])

static sqlite3 *open_ok(const char *path, enum SqliteMode mode) {
        _cleanup_failure_ struct Failure failure = { 0 };
        sqlite3 *db = NULL;

        if (sqlite_open(path, mode, &db, &failure) < 0)
                fail_msg("mode %d: %s", (int) mode, failure_message(&failure));
        return db;
}

/* The failure says which file it is about. */
static void assert_open_fails(
        const char *path, enum SqliteMode mode, int result, enum EventId event) {
        _cleanup_failure_ struct Failure failure = { 0 };
        sqlite3 *db = NULL;

        assert_int_equal(sqlite_open(path, mode, &db, &failure), result);
        assert_null(db);
        assert_string_equal(event_code(failure.event), event_code(event));
        assert_string_equal(failure.path, path);
        assert_non_null(strstr(failure_message(&failure), path));
        /* What to do stands behind a semicolon. */
        assert_non_null(strchr(failure_message(&failure), ';'));
}

/* What is no database. */

static void test_missing_database_is_not_created(void **state) {
        (void) state;
        for (size_t i = 0; i < N_MODES; i++)
                if (modes[i] != SQLITE_MODE_CREATE)
                        assert_open_fails(
                                scratch("none.db"), modes[i], -ENOENT, EVENT_DATABASE_MISSING);
        assert_int_equal(scratch_entries(scratch_directory), 0);
        assert_open_fails(scratch("none/x.db"), SQLITE_MODE_CREATE, -ENOENT, EVENT_WRITE_FAILED);
}

static void test_empty_file_is_no_database_but_becomes_one(void **state) {
        (void) state;
        scratch_write(scratch("empty.db"), "", 0);
        for (size_t i = 0; i < N_MODES; i++)
                if (modes[i] != SQLITE_MODE_CREATE)
                        assert_open_fails(
                                scratch("empty.db"), modes[i], -EBADMSG, EVENT_DATABASE_INVALID);
        _cleanup_sqlite_ sqlite3 *db = open_ok(scratch("empty.db"), SQLITE_MODE_CREATE);
        assert_int_equal(sqlite_execute(db, NOTES, NULL), 0);
}

static void test_other_files_are_no_database_and_stay_as_they_are(void **state) {
        char text[5000];

        (void) state;
        memset(text, 'x', sizeof text);
        scratch_write(scratch("short.db"), "text", 4);
        scratch_write(scratch("long.db"), text, sizeof text);
        assert_int_equal(mkdir(scratch("directory.db"), 0700), 0);
        assert_int_equal(mkfifo(scratch("pipe.db"), 0600), 0);
        for (size_t i = 0; i < N_MODES; i++) {
                static const char *const names[] = { "short.db", "long.db", "directory.db",
                        "pipe.db" };
                for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
                        assert_open_fails(
                                scratch(names[k]), modes[i], -EBADMSG, EVENT_DATABASE_INVALID);
        }
        assert_int_equal(scratch_entries(scratch_directory), 4);
        _cleanup_free_ char *now = scratch_read(scratch("long.db"), NULL);
        assert_memory_equal(now, text, sizeof text);
}

static void test_damaged_schema_is_told_when_opening(void **state) {
        (void) state;
        for (size_t i = 0; i < N_MODES; i++) {
                database_make(scratch("notes.db"), NOTES THREE);
                database_damage(scratch("notes.db"), 100, 40); /* the header of page 1 */
                assert_open_fails(scratch("notes.db"), modes[i], -EBADMSG, EVENT_DATABASE_INVALID);
                assert_int_equal(unlink(scratch("notes.db")), 0);
        }
}

static int open_as_nobody(void *userdata) {
        const char *path = userdata;
        struct Failure failure = { 0 };
        sqlite3 *db = NULL;

        become_nobody();
        for (size_t i = 0; i < N_MODES; i++) {
                if (sqlite_open(path, modes[i], &db, &failure) != -EACCES ||
                        failure.event != EVENT_PERMISSION_DENIED ||
                        strcmp(failure.path, path) != 0 || !strchr(failure.message, ';')) {
                        (void) fprintf(stderr, "%zu: %s\n", i, failure_message(&failure));
                        return 1;
                }
                failure_clear(&failure);
        }
        return 0;
}

static void test_database_of_others_is_a_matter_of_permission(void **state) {
        const char *file, *below;

        (void) state;
        file = database_make(scratch("notes.db"), NOTES);
        assert_int_equal(mkdir(scratch("locked"), 0700), 0);
        below = database_make(scratch("locked/notes.db"), NOTES);
        assert_int_equal(chmod(scratch_directory, 0755), 0);
        assert_int_equal(chmod(file, 0), 0);
        assert_int_equal(chmod(scratch("locked"), 0), 0);
        assert_int_equal(child_ask(open_as_nobody, (void *) file), 0);
        assert_int_equal(child_ask(open_as_nobody, (void *) below), 0);
        assert_int_equal(chmod(scratch("locked"), 0700), 0);
}

static int write_as_nobody(void *userdata) {
        struct Failure failure = { 0 };
        sqlite3 *db = NULL;

        become_nobody();
        if (sqlite_open(userdata, SQLITE_MODE_WRITE, &db, NULL) < 0)
                return 1;
        if (sqlite_execute(db, "DELETE FROM notes", &failure) != -EROFS)
                return 2;
        return failure.event == EVENT_WRITE_FAILED && strcmp(failure.path, userdata) == 0 ? 0 : 3;
}

static void test_read_only_file_is_told_when_writing(void **state) {
        const char *path = database_make(scratch("notes.db"), NOTES THREE);

        (void) state;
        assert_int_equal(chmod(path, 0444), 0);
        assert_int_equal(chmod(scratch_directory, 0755), 0);
        assert_int_equal(child_ask(write_as_nobody, (void *) path), 0);
}

/* What the modes promise. */

static void test_created_database_is_not_for_others(void **state) {
        static const char *const names[] = { "new.db", "new.db-wal", "new.db-shm" };
        mode_t mask = umask(0);
        _cleanup_sqlite_ sqlite3 *db = open_ok(scratch("new.db"), SQLITE_MODE_CREATE);
        struct stat st;

        (void) state;
        (void) umask(mask);
        assert_int_equal(sqlite_execute(db, "PRAGMA journal_mode=WAL;" NOTES, NULL), 0);
        for (size_t i = 0; i < 3; i++) {
                assert_int_equal(stat(scratch(names[i]), &st), 0);
                assert_int_equal(st.st_mode & 07777, 0640);
        }
}

static void test_reading_connections_do_not_write(void **state) {
        static const enum SqliteMode reading[] = { SQLITE_MODE_READ, SQLITE_MODE_IMMUTABLE };

        (void) state;
        database_make(scratch("notes.db"), NOTES THREE);
        for (size_t i = 0; i < 2; i++) {
                _cleanup_sqlite_ sqlite3 *db = open_ok(scratch("notes.db"), reading[i]);
                _cleanup_failure_ struct Failure failure = { 0 };
                int64_t rows = 0;

                assert_int_equal(sqlite_execute(db, "DELETE FROM notes", &failure), -EROFS);
                assert_int_equal(failure.event, EVENT_WRITE_FAILED);
                assert_int_equal(
                        sqlite_query_int64(db, "SELECT count(*) FROM notes", &rows, NULL), 0);
                assert_int_equal(rows, 3);
        }
}

static void test_closing_checkpoints_nothing(void **state) {
        static const enum SqliteMode live[] = { SQLITE_MODE_READ, SQLITE_MODE_WRITE,
                SQLITE_MODE_CREATE, SQLITE_MODE_SOURCE };
        size_t size, log_size, size_now, log_size_now;

        (void) state;
        database_make(scratch("notes.db"), "PRAGMA journal_mode=WAL;" NOTES);
        sqlite_close(open_ok(scratch("notes.db"), SQLITE_MODE_WRITE));
        _cleanup_sqlite_ sqlite3 *writer = open_ok(scratch("notes.db"), SQLITE_MODE_WRITE);
        assert_int_equal(sqlite_execute(writer, THREE, NULL), 0);
        writer = sqlite_close(writer);

        _cleanup_free_ char *main = scratch_read(scratch("notes.db"), &size);
        _cleanup_free_ char *log = scratch_read(scratch("notes.db-wal"), &log_size);
        assert_true(log_size > 4096);
        for (size_t i = 0; i < sizeof live / sizeof live[0]; i++) {
                sqlite3 *db = open_ok(scratch("notes.db"), live[i]);
                int64_t rows = 0;

                assert_int_equal(
                        sqlite_query_int64(db, "SELECT count(*) FROM notes", &rows, NULL), 0);
                assert_int_equal(rows, 3);
                sqlite_close(db);
                _cleanup_free_ char *main_now = scratch_read(scratch("notes.db"), &size_now);
                _cleanup_free_ char *log_now = scratch_read(scratch("notes.db-wal"), &log_size_now);
                assert_true(size_now == size && memcmp(main, main_now, size) == 0);
                assert_true(log_size_now == log_size && memcmp(log, log_now, log_size) == 0);
        }
}

static void test_immutable_database_may_have_any_name_and_gets_no_company(void **state) {
        static const char *const names[] = { "plain.db", "with blank.db", "question?mode=rw&x.db",
                "hash#fragment.db", "percent%41.db", "new\nline.db", "\xc3\xa4\xff\xfe.db",
                "file:uri.db", "a+b=c;d.db" };

        (void) state;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                char doubled[PATH_MAX];
                const char *path =
                        database_make(scratch(names[i]), "PRAGMA journal_mode=WAL;" NOTES THREE);

                (void) snprintf(doubled, sizeof doubled, "/%s", path);
                const char *const paths[] = { path, doubled };
                for (size_t k = 0; k < 2; k++) {
                        _cleanup_sqlite_ sqlite3 *db = open_ok(paths[k], SQLITE_MODE_IMMUTABLE);
                        int64_t rows = 0;

                        assert_int_equal(
                                sqlite_query_int64(db, "SELECT count(*) FROM notes", &rows, NULL),
                                0);
                        assert_int_equal(rows, 3);
                        assert_int_equal(scratch_entries(scratch_directory), 1);
                }
                assert_int_equal(unlink(path), 0);
        }
}

static void test_read_only_media_are_read(void **state) {
        (void) state;
        if (!scratch_mount("1m"))
                skip();
        database_make(scratch("mount/wal.db"), "PRAGMA journal_mode=WAL;" NOTES THREE);
        database_make(scratch("mount/delete.db"), NOTES THREE);
        scratch_make_read_only();
        static const struct {
                const char *name;
                enum SqliteMode mode;
        } rows[] = { { "mount/wal.db", SQLITE_MODE_IMMUTABLE },
                { "mount/delete.db", SQLITE_MODE_IMMUTABLE },
                { "mount/delete.db", SQLITE_MODE_READ } };
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                _cleanup_sqlite_ sqlite3 *db = open_ok(scratch(rows[i].name), rows[i].mode);
                assert_int_equal(database_int64(db, "SELECT count(*) FROM notes"), 3);
        }
}

static void test_foreign_keys_are_kept_and_the_schema_is_not_trusted(void **state) {
        _cleanup_sqlite_ sqlite3 *db = open_ok(scratch("new.db"), SQLITE_MODE_CREATE);
        int64_t value = -1;

        (void) state;
        assert_int_equal(sqlite_query_int64(db, "PRAGMA foreign_keys", &value, NULL), 0);
        assert_int_equal(value, 1);
        assert_int_equal(sqlite_query_int64(db, "PRAGMA trusted_schema", &value, NULL), 0);
        assert_int_equal(value, 0);
}

/* Failures of statements. */

static void test_full_disk_is_told_from_other_errors(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };

        (void) state;
        if (!scratch_mount("128k"))
                skip();
        _cleanup_sqlite_ sqlite3 *db = open_ok(scratch("mount/new.db"), SQLITE_MODE_CREATE);
        assert_int_equal(sqlite_execute(db, NOTES, NULL), 0);
        assert_int_equal(
                sqlite_execute(db, "INSERT INTO notes(body) VALUES (zeroblob(1000000))", &failure),
                -ENOSPC);
        assert_int_equal(failure.event, EVENT_NO_SPACE);
        assert_string_equal(failure.path, scratch("mount/new.db"));
}

/* With a limit of file sizes; the journal is smaller. */
static int write_beyond_limit(void *userdata) {
        struct Failure failure = { 0 };
        sqlite3 *db = NULL;
        int r;

        limit_file_size(65536);
        if (sqlite_open(userdata, SQLITE_MODE_CREATE, &db, NULL) < 0 ||
                sqlite_execute(db, NOTES, NULL) < 0)
                return 1;
        r = sqlite_execute(db, "INSERT INTO notes(body) VALUES (zeroblob(1000000))", &failure);
        if (r != -EFBIG || failure.event != EVENT_WRITE_FAILED ||
                strcmp(failure.path, userdata) != 0) {
                (void) fprintf(stderr, "%d: %s\n", r, failure_message(&failure));
                return 2;
        }
        return 0;
}

static void test_limit_of_file_sizes_is_a_failure_to_write(void **state) {
        (void) state;
        assert_int_equal(child_ask(write_beyond_limit, (void *) scratch("new.db")), 0);
}

static void test_locked_database_is_busy(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_sqlite_ sqlite3 *one = open_ok(scratch("new.db"), SQLITE_MODE_CREATE);
        _cleanup_sqlite_ sqlite3 *two = NULL;

        (void) state;
        assert_int_equal(sqlite_execute(one, NOTES, NULL), 0);
        two = open_ok(scratch("new.db"), SQLITE_MODE_WRITE);
        (void) sqlite3_busy_timeout(two, 1);
        assert_int_equal(sqlite_begin(one, NULL), 0);
        assert_int_equal(sqlite_begin(two, &failure), -EAGAIN);
        assert_int_equal(failure.event, EVENT_LOCK_BUSY);
        assert_string_equal(failure.path, scratch("new.db"));
        sqlite_rollback(one);
        assert_int_equal(sqlite_begin(two, NULL), 0);
        sqlite_rollback(two);
}

static void test_statements_that_fail_say_where(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_sqlite_ sqlite3 *db = open_ok(scratch("new.db"), SQLITE_MODE_CREATE);
        sqlite3_stmt *statement = NULL;
        int64_t value = 42;

        (void) state;
        assert_int_equal(sqlite_prepare(db, "SELECT * FROM none", &statement, &failure), -EIO);
        assert_null(statement);
        assert_int_equal(failure.event, EVENT_DATABASE_FAILED);
        assert_string_equal(failure.path, scratch("new.db"));
        assert_non_null(strstr(failure.message, "no such table: none"));
        assert_int_equal(sqlite_query_int64(db, "SELECT * FROM none", &value, NULL), -EIO);
        assert_int_equal(
                sqlite_query_int64(db, "SELECT abs(-9223372036854775808)", &value, NULL), -EIO);
        assert_int_equal(value, 42);
        assert_int_equal(sqlite_execute(db, "SELEKT", NULL), -EIO);
}

static void test_query_without_a_row_is_zero(void **state) {
        _cleanup_sqlite_ sqlite3 *db = open_ok(scratch("new.db"), SQLITE_MODE_CREATE);
        int64_t value = 42;

        (void) state;
        assert_int_equal(sqlite_query_int64(db, "SELECT 7 WHERE 0", &value, NULL), 0);
        assert_int_equal(value, 0);
        assert_int_equal(sqlite_query_int64(db, "SELECT NULL", &value, NULL), 0);
        assert_int_equal(value, 0);
        assert_int_equal(
                sqlite_query_int64(db, "SELECT -9223372036854775807 - 1", &value, NULL), 0);
        assert_true(value == INT64_MIN);
}

/* Transactions. */

static int insert(sqlite3 *db, bool commit) {
        sqlite3 *transaction _cleanup_rollback_ = NULL;
        int r;

        r = sqlite_begin(db, NULL);
        if (r < 0)
                return r;
        transaction = db;
        r = sqlite_execute(db, THREE, NULL);
        if (r < 0 || !commit)
                return r;
        r = sqlite_commit(db, NULL);
        if (r < 0)
                return r;
        transaction = NULL;
        return 0;
}

static void test_what_is_not_committed_is_rolled_back(void **state) {
        _cleanup_sqlite_ sqlite3 *db = open_ok(scratch("new.db"), SQLITE_MODE_CREATE);

        (void) state;
        assert_int_equal(sqlite_execute(db, NOTES, NULL), 0);
        assert_int_equal(insert(db, false), 0);
        assert_int_equal(database_int64(db, "SELECT count(*) FROM notes"), 0);
        assert_int_equal(insert(db, true), 0);
        assert_int_equal(database_int64(db, "SELECT count(*) FROM notes"), 3);
        sqlite_rollback(db); /* none open */
        assert_int_equal(database_int64(db, "SELECT count(*) FROM notes"), 3);
}

static void test_closing_nothing_is_fine(void **state) {
        (void) state;
        assert_null(sqlite_close(NULL));
        assert_null(sqlite_finalize(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_missing_database_is_not_created, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_empty_file_is_no_database_but_becomes_one,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_other_files_are_no_database_and_stay_as_they_are, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_damaged_schema_is_told_when_opening, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_database_of_others_is_a_matter_of_permission,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_read_only_file_is_told_when_writing, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_created_database_is_not_for_others, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_reading_connections_do_not_write, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_closing_checkpoints_nothing, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_immutable_database_may_have_any_name_and_gets_no_company,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_read_only_media_are_read, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_foreign_keys_are_kept_and_the_schema_is_not_trusted, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_full_disk_is_told_from_other_errors, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_limit_of_file_sizes_is_a_failure_to_write,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_locked_database_is_busy, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_statements_that_fail_say_where, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_query_without_a_row_is_zero, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_is_not_committed_is_rolled_back, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_closing_nothing_is_fine, scratch_setup, scratch_teardown),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
