/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <sys/stat.h>

#include "lib/backup/restore-journal.h"
#include "lib/backup/restore-plan.h"
#include "tests/unit/backup-fixture.h"

static void put(const char *path, const char *text) {
        _cleanup_free_ char *parent = strndup(path, (size_t) (strrchr(path, '/') - path));

        MUST(parent && make_directories(scratch_directory, parent) == 0);
        scratch_write(path, text, strlen(text));
}

static struct Restore *begin(struct Fixture *f, bool raw, const char *metadata) {
        struct Restore *restore = restore_new(f->layout);

        MUST(restore);
        restore->raw = raw;
        restore->source = strdup(scratch("from"));
        put(scratch("from/backup-metadata.json"), metadata);
        put(scratch("from/db/atocore.db"), "0123456789");
        return restore;
}

static int plan(struct Fixture *f, struct Restore *restore) {
        _cleanup_manifest_ struct Manifest *manifest = NULL;

        return restore_plan_items(scratch("from"), restore, &manifest, &f->failure);
}

static void test_what_the_snapshot_does_not_have_is_left(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore =
                begin(f, false, "{\"counts\":{\"t\":1},\"items\":{\"vector_store\":\"absent\"}}");

        put(scratch("data/chroma/a"), "there");
        assert_success(f, plan(f, restore));
        assert_int_equal(restore->items[RESTORE_DATABASE].action, RESTORE_REPLACE);
        assert_int_equal(restore->items[RESTORE_DATABASE].bytes, 10);
        assert_int_equal(restore->items[RESTORE_VECTOR_STORE].action, RESTORE_LEAVE);
        assert_int_equal(restore->items[RESTORE_REGISTRY].action, RESTORE_LEAVE);
        assert_string_equal(json_text_of(restore->counts, "t"), "1");
}

static void test_what_there_was_not_is_removed_by_a_safety_snapshot_alone(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore =
                begin(f, true, "{\"items\":{\"vector_store\":\"absent\",\"registry\":\"absent\"}}");

        put(scratch("data/chroma/a"), "there");
        assert_success(f, plan(f, restore));
        assert_int_equal(restore->items[RESTORE_VECTOR_STORE].action, RESTORE_REMOVE);
        assert_int_equal(restore->items[RESTORE_REGISTRY].action, RESTORE_LEAVE);
}

static void test_only_a_safety_snapshot_may_have_lost_its_metadata(void **state) {
        struct Fixture *f = *state;

        for (int raw = 0; raw < 2; raw++) {
                _cleanup_restore_ struct Restore *restore = begin(f, raw == 1, "{no json");

                if (raw == 1) {
                        assert_success(f, plan(f, restore));
                        continue;
                }
                assert_int_equal(plan(f, restore), -EBADMSG);
                assert_int_equal(f->failure.event, EVENT_SNAPSHOT_INVALID);
                fixture_forget(f);
        }
}

static void test_one_of_another_host_is_refused(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = begin(f, false, "{\"hostname\":\"elsewhere\"}");

        assert_true(plan(f, restore) < 0);
        assert_int_equal(f->failure.event, EVENT_RESTORE_REFUSED);
        fixture_forget(f);
        restore->force = true;
        assert_success(f, plan(f, restore));
}

static void test_checksums_that_cannot_be_read_are_no_checksums(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = begin(f, true, "{}");

        put(scratch("from/SHA256SUMS"), "nonsense\n");
        assert_int_equal(plan(f, restore), -EBADMSG);
        assert_int_equal(f->failure.event, EVENT_SNAPSHOT_INVALID);
}

static void test_a_target_that_is_a_link_is_refused_if_it_is_replaced(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = restore_new(f->layout);
        struct RestoreItem *item = &restore->items[RESTORE_VECTOR_STORE];

        MUST(make_directories(scratch_directory, scratch("data")) == 0);
        MUST(symlink("nowhere", scratch("data/chroma")) == 0);
        assert_success(f, restore_plan_targets(restore, &f->failure));
        item->action = RESTORE_REPLACE;
        assert_true(restore_plan_targets(restore, &f->failure) < 0);
        assert_int_equal(f->failure.event, EVENT_RESTORE_REFUSED);
        assert_string_equal(f->failure.path, item->target);
}

static void test_space_is_asked_for_where_the_root_will_be(void **state) {
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = restore_new(f->layout);

        MUST(remove_tree_at(AT_FDCWD, scratch("backups")) == 0);
        assert_false(scratch_exists(scratch("data")));
        assert_success(f, restore_plan_space(f->layout, restore, 1000, NULL, &f->failure));
        assert_int_equal(
                restore_plan_space(f->layout, restore, UINT64_MAX, NULL, &f->failure), -ENOSPC);
        assert_int_equal(f->failure.event, EVENT_NO_SPACE);
        assert_false(scratch_exists(scratch("data")));
}

static void test_steps_are_in_the_order_of_what_is_done(void **state) {
        static const enum RestoreVerb expected[] = { RESTORE_VERB_VALIDATE, RESTORE_VERB_STAGE,
                RESTORE_VERB_STOP, RESTORE_VERB_EXCHANGE, RESTORE_VERB_EXCHANGE, RESTORE_VERB_PROVE,
                RESTORE_VERB_KEEP, RESTORE_VERB_KEEP };
        struct Fixture *f = *state;
        _cleanup_restore_ struct Restore *restore = begin(f, false, "{}");

        put(f->layout->database, "live");
        put(scratch("data/chroma/a"), "live");
        restore->items[RESTORE_DATABASE].action = RESTORE_REPLACE;
        restore->items[RESTORE_VECTOR_STORE].action = RESTORE_REMOVE;
        memcpy(restore->safety, NOW_STAMP, sizeof NOW_STAMP);
        assert_success(f, restore_plan_steps(f->layout, restore, "snapshot", &f->failure));
        assert_int_equal(restore->n_steps, sizeof expected / sizeof expected[0]);
        for (size_t i = 0; i < restore->n_steps; i++)
                assert_int_equal(restore->steps[i].verb, expected[i]);
        assert_int_equal(restore->steps[restore->n_steps - 1].bytes, 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
                TEST(test_what_the_snapshot_does_not_have_is_left),
                TEST(test_what_there_was_not_is_removed_by_a_safety_snapshot_alone),
                TEST(test_only_a_safety_snapshot_may_have_lost_its_metadata),
                TEST(test_one_of_another_host_is_refused),
                TEST(test_checksums_that_cannot_be_read_are_no_checksums),
                TEST(test_a_target_that_is_a_link_is_refused_if_it_is_replaced),
                TEST(test_space_is_asked_for_where_the_root_will_be),
                TEST(test_steps_are_in_the_order_of_what_is_done),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
