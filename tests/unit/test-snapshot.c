/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/manifest.h"
#include "lib/backup/metadata.h"
#include "lib/backup/state.h"
#include "tests/unit/backup-fixture.h"

#define OLD  "20240301T060000Z"
#define NEXT "20260408T060000Z"

struct List {
        struct Snapshot **snapshots;
        size_t n;
};

static void list_clear(struct List *list) {
        snapshot_list_free(list->snapshots, list->n);
}

static struct List list_all(struct Fixture *f) {
        struct List list = { 0 };

        assert_success(f, snapshot_list(f->layout, &list.snapshots, &list.n, &f->failure));
        return list;
}

/* `metadata` NULL: none. */
static void make(const char *name, const char *metadata) {
        _cleanup_free_ char *directory = NULL, *path = NULL;

        MUST(asprintf(&directory, "%s/backups/snapshots/%s", scratch_directory, name) > 0);
        MUST(asprintf(&path, "%s/" METADATA_NAME, directory) > 0);
        MUST(mkdir(directory, 0750) >= 0);
        if (metadata)
                scratch_write(path, metadata, strlen(metadata));
}

static void test_only_stamps_are_snapshots_and_the_oldest_is_first(void **state) {
        struct Fixture *f = *state;
        _cleanup_(list_clear) struct List list = { 0 };

        make(NEXT, "{}");
        make(OLD, "{}");
        make(NOW_STAMP, "{}");
        make(".partial-" NOW_STAMP "-00000000", "{}");
        make(".failed-" NOW_STAMP, "{}");
        make("20260231T000000Z", "{}");
        make("20260407T060000z", "{}");
        scratch_write(scratch("backups/snapshots/20250101T000000Z"), "x", 1);
        MUST(symlink(NEXT, scratch("backups/snapshots/20250102T000000Z")) >= 0);
        list = list_all(f);
        assert_int_equal(list.n, 3);
        assert_string_equal(list.snapshots[0]->stamp, OLD);
        assert_string_equal(list.snapshots[1]->stamp, NOW_STAMP);
        assert_string_equal(list.snapshots[2]->stamp, NEXT);
        assert_string_equal(list.snapshots[2]->path, scratch("backups/snapshots/" NEXT));
}

static void test_no_directory_is_no_snapshots(void **state) {
        struct Fixture *f = *state;
        _cleanup_(list_clear) struct List list = { 0 };
        char stamp[STAMP_SIZE];

        MUST(rmdir(f->layout->snapshots) >= 0);
        list = list_all(f);
        assert_int_equal(list.n, 0);
        assert_int_equal(snapshot_latest(f->layout, NOW, stamp, NULL, &f->failure), -ENOENT);
        assert_int_equal(f->failure.event, EVENT_SNAPSHOT_NOT_FOUND);
}

static void test_what_cannot_be_read_is_listed_without_metadata(void **state) {
        static const char *const broken[] = { NULL, "", "{", "[]", "null" };
        struct Fixture *f = *state;
        _cleanup_(list_clear) struct List list = { 0 };
        _cleanup_json_ json_object *json = NULL, *again = NULL;
        char stamp[STAMP_SIZE];

        for (size_t i = 0; i < 5; i++) {
                stamp_format(NOW + (int64_t) i, stamp);
                make(stamp, broken[i]);
        }
        list = list_all(f);
        assert_int_equal(list.n, 5);
        for (size_t i = 0; i < list.n; i++)
                assert_null(list.snapshots[i]->metadata);
        json = snapshot_list_to_json(f->layout, list.snapshots, list.n);
        again = json_again(json);
        assert_string_equal(json_text_of(again, "backup_dir"), f->layout->snapshots);
        assert_int_equal(json_object_array_length(json_member(again, "backups")), 5);
        assert_string_equal(
                json_text_of(json_object_array_get_idx(json_member(again, "backups"), 0), "stamp"),
                NOW_STAMP);
}

static int list_as_nobody(void *userdata) {
        struct Fixture *f = userdata;
        struct List list;

        become_nobody();
        list = list_all(f);
        return list.n == 2 && !list.snapshots[0]->metadata && list.snapshots[1]->metadata ? 1 : 2;
}

static void test_one_that_may_not_be_opened_hides_no_other(void **state) {
        struct Fixture *f = *state;

        make(OLD, "{}");
        make(NEXT, "{}");
        MUST(chmod(scratch_directory, 0755) >= 0 && chmod(f->layout->backups, 0755) >= 0);
        MUST(chmod(f->layout->snapshots, 0755) >= 0);
        MUST(chmod(scratch("backups/snapshots/" OLD), 0) >= 0);
        MUST(chmod(scratch("backups/snapshots/" NEXT), 0755) >= 0);
        MUST(chmod(scratch("backups/snapshots/" NEXT "/" METADATA_NAME), 0644) >= 0);
        assert_int_equal(child_ask(list_as_nobody, f), 1);
        MUST(chmod(scratch("backups/snapshots/" OLD), 0755) >= 0);
}

static void test_the_directory_says_the_stamp_whatever_the_metadata_says(void **state) {
        struct Fixture *f = *state;
        _cleanup_(list_clear) struct List list = { 0 };
        _cleanup_json_ json_object *json = NULL;

        make(NOW_STAMP, "{\"stamp\":\"20010101T000000Z\",\"label\":\"x\"}");
        list = list_all(f);
        json = snapshot_list_to_json(f->layout, list.snapshots, list.n);
        assert_string_equal(
                json_text_of(json_object_array_get_idx(json_member(json, "backups"), 0), "stamp"),
                NOW_STAMP);
}

static void test_the_state_wins_over_what_is_sealed(void **state) {
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *sealed = NULL, *pinned = NULL, *both = NULL;
        _cleanup_json_ json_object *validation = json_object_new_object();

        make(NOW_STAMP, "{\"pinned\":false,\"label\":\"l\",\"validation\":{\"valid\":true}}");
        assert_success(f, snapshot_describe(f->layout, NOW_STAMP, &sealed, &f->failure));
        assert_string_equal(json_text_of(sealed->metadata, "pinned"), "false");
        assert_success(f, state_set_pinned(f->layout, NOW_STAMP, true, &f->failure));
        assert_success(f, snapshot_describe(f->layout, NOW_STAMP, &pinned, &f->failure));
        assert_string_equal(json_text_of(pinned->metadata, "pinned"), "true");
        assert_true(metadata_is_true(json_member(pinned->metadata, "validation"), "valid"));
        json_object_object_add(validation, "valid", json_object_new_boolean(false));
        assert_success(f, state_set_validation(f->layout, NOW_STAMP, validation, &f->failure));
        assert_success(f, snapshot_describe(f->layout, NOW_STAMP, &both, &f->failure));
        assert_string_equal(json_text_of(both->metadata, "pinned"), "true");
        assert_false(metadata_is_true(json_member(both->metadata, "validation"), "valid"));
        assert_string_equal(json_text_of(both->metadata, "label"), "l");
}

static void test_a_state_that_is_broken_says_nothing(void **state) {
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;

        make(NOW_STAMP, "{\"pinned\":true}");
        MUST(mkdir(f->layout->state, 0750) >= 0);
        scratch_write(scratch("backups/state/" NOW_STAMP ".json"), "{", 1);
        assert_success(f, snapshot_describe(f->layout, NOW_STAMP, &snapshot, &f->failure));
        assert_string_equal(json_text_of(snapshot->metadata, "pinned"), "true");
}

static void test_what_is_not_there_and_what_is_no_stamp_are_two_things(void **state) {
        static const char *const texts[] = { "", "../../etc", "20260231T000000Z",
                "20260407T060000z", NOW_STAMP "/" };
        struct Fixture *f = *state;
        struct Snapshot *snapshot = (void *) f;

        assert_int_equal(snapshot_describe(f->layout, NOW_STAMP, &snapshot, &f->failure), -ENOENT);
        assert_int_equal(f->failure.event, EVENT_SNAPSHOT_NOT_FOUND);
        assert_string_equal(f->failure.stamp, NOW_STAMP);
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                fixture_forget(f);
                assert_int_equal(
                        snapshot_describe(f->layout, texts[i], &snapshot, &f->failure), -EINVAL);
                assert_int_equal(f->failure.event, EVENT_STAMP_INVALID);
        }
        assert_ptr_equal(snapshot, f);
}

static void test_the_latest_is_never_of_the_future(void **state) {
        struct Fixture *f = *state;
        char stamp[STAMP_SIZE] = "untouched";
        size_t skipped = 99;

        make(OLD, NULL);
        make(NOW_STAMP, NULL);
        make(NEXT, NULL);
        make("20991231T000000Z", NULL);
        make("zzz", NULL);
        assert_success(f, snapshot_latest(f->layout, NOW, stamp, &skipped, &f->failure));
        assert_string_equal(stamp, NOW_STAMP);
        assert_int_equal(skipped, 2);
        assert_success(f, snapshot_latest(f->layout, NOW - 1, stamp, NULL, &f->failure));
        assert_string_equal(stamp, OLD);
        assert_success(f, snapshot_latest(f->layout, STAMP_TIME_MAX, stamp, &skipped, &f->failure));
        assert_string_equal(stamp, "20991231T000000Z");
        assert_int_equal(skipped, 0);
        assert_int_equal(snapshot_latest(f->layout, 0, stamp, &skipped, &f->failure), -ENOENT);
        assert_non_null(strstr(failure_message(&f->failure), "future"));
        assert_string_equal(stamp, "20991231T000000Z");
}

static const struct RetentionInput *input_of(
        const struct RetentionInput *inputs, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(inputs[i].name, name) == 0)
                        return &inputs[i];
        fail_msg("no %s", name);
        return NULL;
}

static void test_retention_is_told_what_each_entry_is(void **state) {
        struct Fixture *f = *state;
        _cleanup_free_ struct RetentionInput *inputs = NULL;
        const struct RetentionInput *input;
        char longest[256];
        size_t n;

        memset(longest, 'n', 255);
        longest[255] = '\0';
        make(longest, NULL);
        make(OLD,
                "{\"pinned\":true,\"chroma_snapshot_included\":true,"
                "\"validation\":{\"valid\":true}}");
        make(NOW_STAMP, "{\"pinned\":\"true\",\"validation\":[]}");
        make(NEXT, "{");
        make(".trash-" OLD, NULL);
        scratch_write(scratch("backups/snapshots/20250101T000000Z"), "x", 1);
        assert_success(f, snapshot_retention_inputs(f->layout, &inputs, &n, &f->failure));
        assert_int_equal(n, 5);
        input = input_of(inputs, n, OLD);
        assert_true(input->readable && input->pinned && input->valid && input->has_vector_store);
        input = input_of(inputs, n, NOW_STAMP);
        assert_true(input->readable && !input->pinned && !input->valid &&
                !input->has_vector_store && !input->foreign);
        assert_false(input_of(inputs, n, NEXT)->readable);
        assert_true(input_of(inputs, n, "20250101T000000Z")->foreign);
        assert_false(input_of(inputs, n, longest)->foreign);
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_only_stamps_are_snapshots_and_the_oldest_is_first),
                ON_ROOT(test_no_directory_is_no_snapshots),
                ON_ROOT(test_what_cannot_be_read_is_listed_without_metadata),
                ON_ROOT(test_one_that_may_not_be_opened_hides_no_other),
                ON_ROOT(test_the_directory_says_the_stamp_whatever_the_metadata_says),
                ON_ROOT(test_the_state_wins_over_what_is_sealed),
                ON_ROOT(test_a_state_that_is_broken_says_nothing),
                ON_ROOT(test_what_is_not_there_and_what_is_no_stamp_are_two_things),
                ON_ROOT(test_the_latest_is_never_of_the_future),
                ON_ROOT(test_retention_is_told_what_each_entry_is),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
