/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "lib/backup/restore-journal.h"
#include "tests/unit/backup-fixture.h"

static struct Restore *example(struct Fixture *f) {
        struct Restore *restore = restore_new(f->layout);

        MUST(restore && make_directories(scratch_directory, scratch("data")) == 0);
        memcpy(restore->stamp, NOW_STAMP, STAMP_SIZE);
        memcpy(restore->safety, "20260408T060000Z", STAMP_SIZE);
        restore->source = strdup("/a/snapshot \"of\" mine");
        restore->counts = json_object_new_object();
        MUST(json_object_object_add(restore->counts, "notes", json_object_new_int(3)) == 0);
        restore->items[RESTORE_DATABASE].action = RESTORE_REPLACE;
        restore->items[RESTORE_DATABASE].inode = UINT64_C(1) << 40;
        restore->items[RESTORE_DATABASE].bytes = 12345;
        restore->items[RESTORE_REGISTRY].action = RESTORE_REMOVE;
        return restore;
}

static void test_what_was_written_is_read_again(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *written = example(f), *read = NULL;

        for (int committed = 0; committed < 2; committed++) {
                written->committed = committed;
                assert_success(f, restore_journal_write(f->layout, written, &f->failure));
                assert_success(f, restore_journal_read(f->layout, &read, &f->failure));
                assert_string_equal(read->stamp, written->stamp);
                assert_string_equal(read->safety, written->safety);
                assert_string_equal(read->source, written->source);
                assert_true(json_object_equal(read->counts, written->counts));
                assert_int_equal(read->committed, committed);
                for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                        assert_int_equal(read->items[i].action, written->items[i].action);
                        assert_int_equal(read->items[i].inode, written->items[i].inode);
                        assert_int_equal(read->items[i].bytes, written->items[i].bytes);
                        assert_string_equal(read->items[i].staged, written->items[i].staged);
                }
                read = restore_free(read);
        }
}

static void test_staging_is_beside_its_target(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = restore_new(f->layout);

        assert_string_equal(restore->items[RESTORE_DATABASE].staged, scratch("data/.restore-db"));
        assert_string_equal(
                restore->items[RESTORE_VECTOR_STORE].staged, scratch("data/.restore-chroma"));
        assert_string_equal(restore->items[RESTORE_REGISTRY].staged,
                scratch("config/.restore-project-registry.json"));
}

static void test_no_journal_is_no_failure(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = NULL;

        assert_int_equal(restore_journal_read(f->layout, &restore, &f->failure), -ENOENT);
        assert_false(failure_is_set(&f->failure));
        assert_null(restore);
}

static void test_a_removed_journal_is_gone_and_may_be_removed_again(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = example(f);

        assert_success(f, restore_journal_write(f->layout, restore, &f->failure));
        for (int i = 0; i < 2; i++) {
                assert_success(f, restore_journal_remove(f->layout, &f->failure));
                assert_false(scratch_exists(f->layout->restore_journal));
        }
}

static void test_a_journal_that_cannot_be_written_is_told(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = example(f);

        MUST(remove_tree_at(AT_FDCWD, scratch("data")) == 0);
        assert_int_equal(restore_journal_write(f->layout, restore, &f->failure), -ENOENT);
        assert_int_equal(f->failure.event, EVENT_WRITE_FAILED);
        assert_string_equal(f->failure.path, f->layout->restore_journal);
}

/* Cut short anywhere, but for the white space behind it. */
static void test_a_part_of_a_journal_is_refused(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = example(f), *read = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;

        assert_success(f, restore_journal_write(f->layout, restore, &f->failure));
        text = scratch_read(f->layout->restore_journal, &size);
        for (size_t n = 0; n < size; n++) {
                scratch_write(f->layout->restore_journal, text, n);
                assert_int_equal(restore_journal_read(f->layout, &read, &f->failure), -EBADMSG);
                assert_int_equal(f->failure.event, EVENT_READ_FAILED);
                assert_null(read);
                fixture_forget(f);
        }
}

static void test_what_it_does_not_know_is_refused(void **state) {
        static const struct {
                const char *from;
                const char *to;
        } changes[] = {
                { "\"version\":1", "\"version\":2" },
                { "\"replace\"", "\"rep1ace\"" },
                { "\"database\"", "\"data-set\"" },
                { NOW_STAMP, "20260407T06000Z!" },
                { "1099511627776", "0            " },
        };
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = example(f), *read = NULL;

        for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
                _cleanup_free_ char *text = NULL;
                size_t size;
                char *found;

                assert_success(f, restore_journal_write(f->layout, restore, &f->failure));
                text = scratch_read(f->layout->restore_journal, &size);
                found = memmem(text, size, changes[i].from, strlen(changes[i].from));
                MUST(found && strlen(changes[i].from) == strlen(changes[i].to));
                memcpy(found, changes[i].to, strlen(changes[i].to));
                scratch_write(f->layout->restore_journal, text, size);
                assert_int_equal(restore_journal_read(f->layout, &read, &f->failure), -EBADMSG);
                assert_int_equal(f->failure.event, EVENT_READ_FAILED);
                fixture_forget(f);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
                TEST(test_what_was_written_is_read_again),
                TEST(test_staging_is_beside_its_target),
                TEST(test_no_journal_is_no_failure),
                TEST(test_a_removed_journal_is_gone_and_may_be_removed_again),
                TEST(test_a_journal_that_cannot_be_written_is_told),
                TEST(test_a_part_of_a_journal_is_refused),
                TEST(test_what_it_does_not_know_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
