/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <sys/stat.h>

#include "lib/backup/restore-journal.h"
#include "lib/backup/restore-safety.h"
#include "lib/backup/safety-seal.h"
#include "tests/unit/backup-fixture.h"

/* A restore whose exchange is done: what was there ("old") is where the new one was staged. */
static struct Restore *exchanged(struct Fixture *f) {
        struct Restore *restore = restore_new(f->layout);

        MUST(restore);
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++)
                restore->items[i].action = RESTORE_REPLACE;
        MUST(make_directories(scratch_directory, f->layout->database_dir) == 0);
        MUST(make_directories(scratch_directory, f->layout->pre_restore) == 0);
        MUST(make_directories(scratch_directory, scratch("config")) == 0);
        scratch_write(f->layout->database, "old", 3);
        scratch_write(f->layout->registry, "old", 3);
        assert_success(f, restore_safety_choose(&f->operation, restore, &f->failure));
        assert_success(f, restore_safety_prepare(&f->operation, restore, &f->failure));
        MUST(rename(f->layout->database_dir, restore->items[RESTORE_DATABASE].staged) == 0);
        MUST(rename(f->layout->registry, restore->items[RESTORE_REGISTRY].staged) == 0);
        return restore;
}

static void assert_kept(struct Fixture *f, const struct Restore *restore) {
        size_t size = 0;
        _cleanup_free_ char *database =
                scratch_read(scratch("backups/pre-restore/" NOW_STAMP "/db/atocore.db"), &size);
        _cleanup_free_ char *registry = scratch_read(
                scratch("backups/pre-restore/" NOW_STAMP "/config/project-registry.json"), NULL);

        assert_string_equal(database, "old");
        assert_string_equal(registry, "old");
        assert_int_equal(scratch_entries(f->layout->pre_restore), 1);
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++)
                assert_false(scratch_exists(restore->items[i].staged));
}

static void test_what_was_there_is_moved_and_a_second_time_does_no_harm(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = exchanged(f);

        for (int i = 0; i < 2; i++) {
                assert_success(f, restore_safety_publish(f->layout, restore, &f->failure));
                assert_kept(f, restore);
        }
        assert_success(f, restore_safety_remove_abandoned(f->layout, &f->failure));
        assert_kept(f, restore);
        for (int i = 0; i < 2; i++) {
                if (i == 1) /* of one that was killed */
                        MUST(rename(scratch("backups/pre-restore/" NOW_STAMP "/SHA256SUMS"),
                                     scratch("backups/pre-restore/" NOW_STAMP
                                             "/.SHA256SUMS.tmp-0123456789abcdef")) == 0);
                assert_success(f, safety_seal_all(&f->operation, &f->failure));
                assert_int_equal(scratch_entries(scratch("backups/pre-restore/" NOW_STAMP)), 4);
        }
}

/* Killed after any of the renames that publishing makes. */
static void test_it_is_taken_up_from_wherever_it_was_left(void **state) {
        struct Fixture *f = *state;

        for (int moved = 0; moved < 3; moved++) {
                _cleanup_restore_ struct Restore *restore = exchanged(f);

                if (moved > 0)
                        MUST(rename(restore->items[RESTORE_DATABASE].staged,
                                     scratch("backups/pre-restore/.partial-" NOW_STAMP "/db")) ==
                                0);
                if (moved > 1) {
                        MUST(mkdir(scratch("backups/pre-restore/.partial-" NOW_STAMP "/config"),
                                     0750) == 0);
                        MUST(rename(restore->items[RESTORE_REGISTRY].staged,
                                     scratch("backups/pre-restore/.partial-" NOW_STAMP
                                             "/config/project-registry.json")) == 0);
                }
                assert_success(f, restore_safety_publish(f->layout, restore, &f->failure));
                assert_kept(f, restore);
                MUST(remove_tree_at(AT_FDCWD, scratch("backups")) == 0);
                MUST(remove_tree_at(AT_FDCWD, scratch("data")) == 0);
        }
}

static void test_what_moved_nothing_is_removed_and_what_moved_something_is_not(void **state) {
        struct Fixture *f = *state;

        MUST(make_directories(scratch_directory,
                     scratch("backups/pre-restore/.partial-a/.copy-database")) == 0);
        scratch_write(scratch("backups/pre-restore/.partial-a/backup-metadata.json"), "{}", 2);
        scratch_write(scratch("backups/pre-restore/.partial-a/.backup-metadata.json.tmp-1"), "", 0);
        MUST(make_directories(scratch_directory, scratch("backups/pre-restore/.partial-b/db")) ==
                0);
        MUST(symlink("nowhere", scratch("backups/pre-restore/.partial-c")) == 0);
        assert_success(f, restore_safety_remove_abandoned(f->layout, &f->failure));
        assert_false(scratch_exists(scratch("backups/pre-restore/.partial-a")));
        assert_true(scratch_exists(scratch("backups/pre-restore/.partial-b/db")));
        assert_true(scratch_exists(scratch("backups/pre-restore/.partial-c")));
}

static void test_it_says_what_there_was_not(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = exchanged(f);
        _cleanup_free_ char *text = scratch_read(
                scratch("backups/pre-restore/.partial-" NOW_STAMP "/backup-metadata.json"), NULL);
        json_object *metadata = json_tokener_parse(text);

        assert_non_null(metadata);
        assert_string_equal(json_text_of(metadata, "stamp"), restore->safety);
        assert_true(restore_safety_was_absent(metadata, RESTORE_VECTOR_STORE));
        assert_false(restore_safety_was_absent(metadata, RESTORE_DATABASE));
        assert_false(restore_safety_was_absent(NULL, RESTORE_VECTOR_STORE));
        json_object_put(metadata);
        metadata = json_tokener_parse("{\"items\":[\"absent\"]}");
        assert_false(restore_safety_was_absent(metadata, RESTORE_VECTOR_STORE));
        json_object_put(metadata);
}

static void test_where_there_is_nothing_to_keep_nothing_is_kept(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = restore_new(f->layout);

        restore->items[RESTORE_DATABASE].action = RESTORE_REPLACE;
        MUST(remove_tree_at(AT_FDCWD, scratch("backups")) == 0);
        assert_success(f, restore_safety_choose(&f->operation, restore, &f->failure));
        assert_string_equal(restore->safety, "");
        assert_success(f, restore_safety_prepare(&f->operation, restore, &f->failure));
        assert_success(f, restore_safety_publish(f->layout, restore, &f->failure));
        assert_false(scratch_exists(f->layout->backups));
        MUST(make_directories(scratch_directory, f->layout->database_dir) == 0);
        assert_true(restore_safety_choose(&f->operation, restore, &f->failure) < 0);
        assert_int_equal(f->failure.event, EVENT_BACKUP_ROOT_MISSING);
}

static void test_they_are_listed_oldest_first(void **state) {
        static const char *const names[] = { "20260102T000000Z", "20260101T000000Z",
                ".partial-20260101T000000Z", "notes" };
        struct Fixture *f = *state;
        _cleanup_free_ char(*stamps)[STAMP_SIZE] = NULL;
        size_t n = 7;

        assert_success(f, restore_safety_list(f->layout, &stamps, &n, &f->failure));
        assert_int_equal(n, 0);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                _cleanup_free_ char *path = NULL;

                MUST(asprintf(&path, "%s/%s", f->layout->pre_restore, names[i]) > 0);
                MUST(make_directories(scratch_directory, path) == 0);
        }
        assert_success(f, restore_safety_list(f->layout, &stamps, &n, &f->failure));
        assert_int_equal(n, 2);
        assert_string_equal(stamps[0], "20260101T000000Z");
        assert_string_equal(stamps[1], "20260102T000000Z");
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
                TEST(test_what_was_there_is_moved_and_a_second_time_does_no_harm),
                TEST(test_it_is_taken_up_from_wherever_it_was_left),
                TEST(test_what_moved_nothing_is_removed_and_what_moved_something_is_not),
                TEST(test_it_says_what_there_was_not),
                TEST(test_where_there_is_nothing_to_keep_nothing_is_kept),
                TEST(test_they_are_listed_oldest_first),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
