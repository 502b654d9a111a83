/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <sys/stat.h>

#include "lib/backup/restore-exchange.h"
#include "lib/backup/restore-journal.h"
#include "tests/unit/backup-fixture.h"

static void put(const char *directory, const char *text) {
        _cleanup_free_ char *file = NULL;

        MUST(make_directories(scratch_directory, directory) == 0);
        MUST(asprintf(&file, "%s/atocore.db", directory) > 0);
        scratch_write(file, text, strlen(text));
}

static bool holds(const char *directory, const char *text) {
        _cleanup_free_ char *file = NULL, *found = NULL;
        size_t size = 0;

        MUST(asprintf(&file, "%s/atocore.db", directory) > 0);
        if (!scratch_exists(file))
                return false;
        found = scratch_read(file, &size);
        return size == strlen(text) && memcmp(found, text, size) == 0;
}

/* A database to be replaced ("old") by what is staged ("new"). */
static struct Restore *staged(struct Fixture *f, bool with_old) {
        struct Restore *restore = restore_new(f->layout);
        struct RestoreItem *item = &restore->items[RESTORE_DATABASE];
        struct stat st;

        MUST(restore && make_directories(scratch_directory, scratch("data")) == 0);
        item->action = RESTORE_REPLACE;
        put(item->staged, "new");
        MUST(stat(item->staged, &st) == 0);
        item->inode = st.st_ino;
        if (with_old)
                put(item->target, "old");
        return restore;
}

static void test_both_ways_can_be_gone_again_and_again(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = staged(f, true);
        const struct RestoreItem *item = &restore->items[RESTORE_DATABASE];

        for (int i = 0; i < 6; i++) {
                int (*go)(struct Restore *, struct Failure *) =
                        i % 4 < 2 ? restore_exchange : restore_exchange_back;

                assert_success(f, go(restore, &f->failure));
                assert_true(holds(item->target, i % 4 < 2 ? "new" : "old"));
                assert_true(holds(item->staged, i % 4 < 2 ? "old" : "new"));
        }
}

static void test_where_there_was_nothing_nothing_is_left_on_the_way_back(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = staged(f, false);
        const struct RestoreItem *item = &restore->items[RESTORE_DATABASE];

        assert_success(f, restore_exchange(restore, &f->failure));
        assert_true(holds(item->target, "new"));
        assert_false(scratch_exists(item->staged));
        assert_success(f, restore_exchange_back(restore, &f->failure));
        assert_false(scratch_exists(item->target));
        assert_true(holds(item->staged, "new"));
}

static void test_what_is_to_be_removed_comes_back_too(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = restore_new(f->layout);
        struct RestoreItem *item = &restore->items[RESTORE_VECTOR_STORE];

        item->action = RESTORE_REMOVE;
        put(item->target, "old");
        for (int i = 0; i < 2; i++) {
                assert_success(f, restore_exchange(restore, &f->failure));
                assert_false(scratch_exists(item->target));
                assert_true(holds(item->staged, "old"));
        }
        for (int i = 0; i < 2; i++) {
                assert_success(f, restore_exchange_back(restore, &f->failure));
                assert_true(holds(item->target, "old"));
                assert_false(scratch_exists(item->staged));
        }
}

static void test_what_is_left_is_not_touched(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = restore_new(f->layout);

        put(f->layout->database_dir, "old");
        assert_success(f, restore_exchange(restore, &f->failure));
        assert_success(f, restore_exchange_back(restore, &f->failure));
        assert_true(holds(f->layout->database_dir, "old"));
}

/* A file system that cannot exchange does it by three renames; power may go after each. */
static void interrupt(
        const struct RestoreItem *item, int renames, const char *from, const char *to) {
        _cleanup_free_ char *aside = NULL;

        MUST(asprintf(&aside, "%s.old", item->staged) > 0);
        MUST(renames < 1 || rename(to, aside) == 0);
        MUST(renames < 2 || rename(from, to) == 0);
        MUST(renames < 3 || rename(aside, from) == 0);
}

static void test_three_renames_can_be_left_anywhere(void **state) {
        struct Fixture *f = *state;

        for (int renames = 0; renames <= 3; renames++)
                for (int forward = 0; forward < 2; forward++) {
                        _cleanup_restore_ struct Restore *restore = staged(f, true);
                        const struct RestoreItem *item = &restore->items[RESTORE_DATABASE];
                        _cleanup_free_ char *aside = NULL;

                        MUST(asprintf(&aside, "%s.old", item->staged) > 0);
                        interrupt(item, renames, item->staged, item->target);
                        if (forward)
                                assert_success(f, restore_exchange(restore, &f->failure));
                        else
                                assert_success(f, restore_exchange_back(restore, &f->failure));
                        assert_true(holds(item->target, forward ? "new" : "old"));
                        assert_true(holds(item->staged, forward ? "old" : "new"));
                        assert_false(scratch_exists(aside));
                        MUST(remove_tree_at(AT_FDCWD, scratch("data")) == 0);
                }
}

static void test_what_fails_is_told_and_nothing_is_changed(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = staged(f, true);
        const struct RestoreItem *item = &restore->items[RESTORE_DATABASE];

        MUST(remove_tree_at(AT_FDCWD, item->staged) == 0);
        assert_int_equal(restore_exchange(restore, &f->failure), -ENOENT);
        assert_int_equal(f->failure.event, EVENT_READ_FAILED);
        assert_true(holds(item->target, "old"));
}

/* Somebody puts yet another one in the place of the live one, while all refuses to run. */
static void test_what_was_there_is_never_overwritten(void **state) {
        struct Fixture *f = *state;

        for (int forward = 0; forward < 2; forward++) {
                _cleanup_restore_ struct Restore *restore = staged(f, true);
                const struct RestoreItem *item = &restore->items[RESTORE_DATABASE];

                assert_success(f, restore_exchange(restore, &f->failure));
                MUST(rename(item->target, scratch("restored")) == 0); /* keeps its inode in use */
                put(item->target, "edited");
                if (forward)
                        assert_success(f, restore_exchange(restore, &f->failure));
                else
                        assert_success(f, restore_exchange_back(restore, &f->failure));
                assert_true(holds(item->target, forward ? "edited" : "old"));
                assert_true(holds(item->staged, forward ? "old" : "edited"));
                MUST(remove_tree_at(AT_FDCWD, scratch("data")) == 0);
                MUST(remove_tree_at(AT_FDCWD, scratch("restored")) == 0);
        }
}

/* Once it is proven, what was there is moved away. */
static void test_what_is_committed_needs_nothing_staged(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = staged(f, true);
        const struct RestoreItem *item = &restore->items[RESTORE_DATABASE];

        assert_success(f, restore_exchange(restore, &f->failure));
        restore->committed = true;
        MUST(rename(item->target, scratch("restored")) == 0);
        put(item->target, "edited");
        MUST(remove_tree_at(AT_FDCWD, item->staged) == 0);
        assert_success(f, restore_exchange(restore, &f->failure));
        assert_true(holds(item->target, "edited"));
}

static void test_discarding_leaves_nothing_staged(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = staged(f, true);

        for (int i = 0; i < 2; i++) {
                assert_success(f, restore_discard(restore, &f->failure));
                assert_int_equal(scratch_entries(scratch("data")), 1);
        }
        assert_true(holds(f->layout->database_dir, "old"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
                TEST(test_both_ways_can_be_gone_again_and_again),
                TEST(test_where_there_was_nothing_nothing_is_left_on_the_way_back),
                TEST(test_what_is_to_be_removed_comes_back_too),
                TEST(test_what_is_left_is_not_touched),
                TEST(test_three_renames_can_be_left_anywhere),
                TEST(test_what_fails_is_told_and_nothing_is_changed),
                TEST(test_what_was_there_is_never_overwritten),
                TEST(test_what_is_committed_needs_nothing_staged),
                TEST(test_discarding_leaves_nothing_staged),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
