/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/copy-fixture.h"

static void test_copy_has_all_that_the_source_has(void **state) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        struct State bytes, bytes_after;

        (void) state;
        database_make(scratch("source.db"),
                "PRAGMA application_id=1096045379; PRAGMA user_version=7;" NOTES FILL(5000));
        before = content(scratch("source.db"));
        bytes = state_of(scratch("source.db"), "/nonexistent");
        assert_cloned_where_possible(copy(scratch("source.db"), scratch("copy.db")));
        bytes_after = state_of(scratch("source.db"), "/nonexistent");
        assert_true(is_same(&bytes, &bytes_after));
        after = content(scratch("copy.db"));
        assert_string_equal(after, before);
        assert_int_equal(
                database_file_int64(scratch("copy.db"), "PRAGMA application_id"), 1096045379);
        assert_int_equal(database_file_int64(scratch("copy.db"), "PRAGMA user_version"), 7);
}

static void test_copy_keeps_page_size_and_vacuum_mode(void **state) {
        static const int sizes[] = { 512, 1024, 4096, 65536 };
        static const char *const journals[] = { "DELETE", "WAL" };

        (void) state;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
                for (int vacuum = 0; vacuum <= 2; vacuum++)
                        for (size_t k = 0; k < 2; k++) {
                                _cleanup_free_ char *before = NULL, *after = NULL;
                                char sql[1024];

                                (void) snprintf(sql, sizeof sql,
                                        "PRAGMA page_size=%d; PRAGMA auto_vacuum=%d;"
                                        "PRAGMA journal_mode=%s;" NOTES FILL(
                                                3000) "DELETE FROM notes WHERE id %% 3 = 0;",
                                        sizes[i], vacuum, journals[k]);
                                database_make(scratch("source.db"), sql);
                                before = content(scratch("source.db"));
                                assert_cloned_where_possible(
                                        copy(scratch("source.db"), scratch("copy.db")));
                                after = content(scratch("copy.db"));
                                assert_string_equal(after, before);
                                assert_int_equal(
                                        database_file_int64(scratch("copy.db"), "PRAGMA page_size"),
                                        sizes[i]);
                                assert_int_equal(database_file_int64(
                                                         scratch("copy.db"), "PRAGMA auto_vacuum"),
                                        vacuum);
                                assert_int_equal(remove_tree_at(AT_FDCWD, scratch("source.db")), 0);
                                assert_int_equal(
                                        remove_tree_at(AT_FDCWD, scratch("source.db-wal")), 0);
                                assert_int_equal(
                                        remove_tree_at(AT_FDCWD, scratch("source.db-shm")), 0);
                                assert_int_equal(unlink(scratch("copy.db")), 0);
                        }
}

static void test_database_without_a_table_is_copied(void **state) {
        (void) state;
        database_make(scratch("source.db"), "PRAGMA user_version=3; VACUUM");
        copy(scratch("source.db"), scratch("copy.db"));
        assert_int_equal(database_file_int64(scratch("copy.db"), "PRAGMA user_version"), 3);
}

static void test_any_name_and_a_link_to_the_source_will_do(void **state) {
        static const char *const names[] = { "with blank", "question?mode=ro", "file:x",
                "new\nline", "\xff\xfe" };

        (void) state;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                char target[64];

                (void) snprintf(target, sizeof target, "copy of %s", names[i]);
                database_make(scratch(names[i]), NOTES FILL(10));
                copy(scratch(names[i]), scratch(target));
        }
        assert_int_equal(symlink("with blank", scratch("link")), 0);
        copy(scratch("link"), scratch("copy of link"));
}

static void test_copy_goes_to_another_file_system(void **state) {
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void) state;
        if (!scratch_mount("8m"))
                skip();
        database_make(scratch("source.db"), "PRAGMA journal_mode=WAL;" NOTES FILL(5000));
        before = content(scratch("source.db"));
        assert_int_equal(copy(scratch("source.db"), scratch("mount/copy.db")), COPY_READ_WRITE);
        after = content(scratch("mount/copy.db"));
        assert_string_equal(after, before);
}

/* The write-ahead log and the journal. */

/* Leaves `userdata`, a database, with most of its content in the log. */
static sqlite3 *fill_log(const char *path) {
        sqlite3 *db = database_open(path);

        database_execute(db,
                "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;" NOTES
                        FILL(10) "PRAGMA wal_checkpoint(TRUNCATE);" FILL(
                                3000) "DELETE FROM notes WHERE id = 5;");
        return db;
}

static void fill_log_and_wait(int ready, void *userdata) {
        (void) fill_log(userdata);
        child_ready(ready);
        for (;;)
                (void) pause();
}

static void fill_log_and_die(int ready, void *userdata) {
        (void) fill_log(userdata);
        child_ready(ready);
        _exit(0);
}

static void test_copy_has_what_is_only_in_the_log_and_leaves_it_there(void **state) {
        static void (*const bodies[])(int, void *) = { fill_log_and_wait, fill_log_and_die };

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                char name[16], log[32], target[16];
                struct Child child;
                struct State before, after;

                (void) snprintf(name, sizeof name, "source-%zu", i);
                (void) snprintf(log, sizeof log, "%s-wal", name);
                (void) snprintf(target, sizeof target, "copy-%zu", i);
                child = child_start(bodies[i], (void *) scratch(name));
                if (bodies[i] == fill_log_and_die)
                        assert_int_equal(child_wait(&child), 0);

                before = state_of(scratch(name), scratch(log));
                assert_true(before.log_size > 100000);
                assert_true(before.main_size < 20000);
                enum CopyMethod method = copy(scratch(name), scratch(target));
                assert_cloned_where_possible(method);
                after = state_of(scratch(name), scratch(log));
                assert_true(is_same(&before, &after) || method == COPY_CLONED);
                if (bodies[i] == fill_log_and_wait)
                        child_kill(&child);
                assert_int_equal(
                        database_file_int64(scratch(target), "SELECT count(*) FROM notes"), 3009);
        }
}

/* With a transaction so large that its pages are in the file already, and with it killed. */
static void die_in_transaction(int ready, void *userdata) {
        sqlite3 *db = database_open(userdata);

        database_execute(db,
                "PRAGMA journal_mode=DELETE; PRAGMA cache_size=5; BEGIN;"
                "UPDATE notes SET body = 'never committed';");
        child_ready(ready);
        _exit(0);
}

static void test_transaction_that_a_crash_interrupted_is_not_in_the_copy(void **state) {
        const char *source = database_make(scratch("source.db"), NOTES FILL(5000));
        struct State before = state_of(source, "/nonexistent"), crashed, after;
        _cleanup_free_ char *now = NULL, *expected = content(source);
        struct Child child = child_start(die_in_transaction, (void *) source);

        (void) state;
        assert_int_equal(child_wait(&child), 0);
        crashed = state_of(source, "/nonexistent");
        assert_true(scratch_exists(scratch("source.db-journal")));
        copy(source, scratch("copy.db"));
        now = content(scratch("copy.db"));
        assert_string_equal(now, expected);
        after = state_of(source, "/nonexistent");
        assert_int_equal(after.main_size, before.main_size);
        assert_false(is_same(&before, &crashed)); /* it was hot */
        free(after.main);
}

static void hold_snapshot(int ready, void *userdata) {
        sqlite3 *db = database_open(userdata);

        database_execute(db, "BEGIN; SELECT count(*) FROM notes;");
        child_ready(ready);
        for (;;)
                (void) pause();
}

/* No checkpoint can finish then, so that a clone of the main file would be old. */
static void test_reader_of_an_old_state_keeps_nothing_out_of_the_copy(void **state) {
        const char *source =
                database_make(scratch("source.db"), "PRAGMA journal_mode=WAL;" NOTES FILL(1000));
        struct Child reader = child_start(hold_snapshot, (void *) source);
        sqlite3 *writer = database_open(source);

        (void) state;
        database_execute(writer, FILL(1000));
        enum CopyMethod method = copy(source, scratch("copy.db"));
        child_kill(&reader);
        database_close(writer);
        assert_int_equal(method, COPY_READ_WRITE);
        assert_int_equal(
                database_file_int64(scratch("copy.db"), "SELECT count(*) FROM notes"), 2000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_copy_has_all_that_the_source_has, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_copy_keeps_page_size_and_vacuum_mode, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_database_without_a_table_is_copied, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_any_name_and_a_link_to_the_source_will_do,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_copy_goes_to_another_file_system, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_copy_has_what_is_only_in_the_log_and_leaves_it_there, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_transaction_that_a_crash_interrupted_is_not_in_the_copy, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_reader_of_an_old_state_keeps_nothing_out_of_the_copy, scratch_setup,
                        scratch_teardown),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
