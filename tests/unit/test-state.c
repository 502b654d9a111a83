/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/backup/state.h"
#include "lib/base/file-io.h"
#include "lib/base/json-document.h"

#define STAMP "20260407T060000Z"

/* A root of its own for each test, with backups/ and no backups/state. */
static int setup(void **state) {
        char directory[] = "/tmp/atocore-test-state-XXXXXX";
        struct Layout *layout = NULL;

        assert_non_null(mkdtemp(directory));
        assert_int_equal(layout_new(directory, &layout), 0);
        assert_int_equal(make_directory_at(AT_FDCWD, layout->backups), 0);
        *state = layout;
        return 0;
}

static int teardown(void **state) {
        struct Layout *layout = *state;

        assert_int_equal(remove_tree_at(AT_FDCWD, layout->root), 0);
        layout_free(layout);
        return 0;
}

static char *state_path(const struct Layout *layout) {
        char *path = NULL;

        assert_true(asprintf(&path, "%s/" STAMP ".json", layout->state) > 0);
        return path;
}

static void write_state(const struct Layout *layout, const char *text) {
        _cleanup_free_ char *path = state_path(layout);

        assert_int_equal(make_directory_at(AT_FDCWD, layout->state), 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, path, text, strlen(text)), 0);
}

static struct json_object *load(const struct Layout *layout) {
        struct json_object *object = (struct json_object *) &object;

        assert_int_equal(state_load(layout, STAMP, &object), 0);
        return object;
}

static struct json_object *verdict(bool valid) {
        struct json_object *object = json_object_new_object();

        assert_non_null(object);
        json_object_object_add(object, "valid", json_object_new_boolean(valid));
        json_object_object_add(
                object, "validated_at", json_object_new_string("2026-04-07T06:01:00Z"));
        json_object_object_add(object, "errors", json_object_new_array());
        return object;
}

static void set_pinned(const struct Layout *layout, bool pinned) {
        _cleanup_failure_ struct Failure failure = { 0 };

        if (state_set_pinned(layout, STAMP, pinned, &failure) != 0)
                fail_msg("%s", failure_message(&failure));
}

static void set_verdict(const struct Layout *layout, bool valid) {
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_json_ struct json_object *object = verdict(valid);

        if (state_set_validation(layout, STAMP, object, &failure) != 0)
                fail_msg("%s", failure_message(&failure));
}

static void test_absent_is_no_state_and_no_error(void **state) {
        const struct Layout *layout = *state;

        assert_null(load(layout)); /* no directory */
        assert_int_equal(make_directory_at(AT_FDCWD, layout->state), 0);
        assert_null(load(layout));
        assert_true(state_pinned(NULL, true));
        assert_false(state_pinned(NULL, false));
        assert_true(state_valid(NULL, true));
        assert_false(state_valid(NULL, false));
}

static void test_each_member_is_replaced_and_the_rest_kept(void **state) {
        const struct Layout *layout = *state;
        _cleanup_json_ struct json_object *first = NULL, *second = NULL;

        set_pinned(layout, true);
        first = load(layout);
        assert_true(state_pinned(first, false));
        assert_true(state_valid(first, true)); /* not said: the metadata counts */
        assert_false(state_valid(first, false));

        set_verdict(layout, false);
        set_pinned(layout, false);
        second = load(layout);
        assert_false(state_pinned(second, true));
        assert_false(state_valid(second, true));
}

static void test_members_that_are_not_ours_stay(void **state) {
        const struct Layout *layout = *state;
        _cleanup_json_ struct json_object *object = NULL;

        write_state(layout, "{\"label\":\"kept\"}");
        set_pinned(layout, true);
        object = load(layout);
        assert_string_equal(
                json_object_get_string(json_object_object_get(object, "label")), "kept");
}

static void test_file_and_directory_are_for_owner_and_group(void **state) {
        const struct Layout *layout = *state;
        _cleanup_free_ char *path = state_path(layout);
        mode_t mask = umask(0);
        struct stat st;

        set_pinned(layout, true);
        (void) umask(mask);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_int_equal(stat(layout->state, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0750);
}

static void test_a_broken_file_is_no_state_and_is_replaced(void **state) {
        static const char *const texts[] = { "", "{", "[]", "null", "\"pinned\"", "\xff\xfe",
                "{\"pinned\": tru", "{\"pinned\":true}{\"pinned\":true}", "[[[[[[[[[[[[[[[[" };
        const struct Layout *layout = *state;

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                _cleanup_json_ struct json_object *object = NULL;

                write_state(layout, texts[i]);
                assert_null(load(layout));
                set_pinned(layout, true);
                object = load(layout);
                assert_true(state_pinned(object, false));
        }
}

static void test_wrong_types_say_nothing(void **state) {
        static const char *const texts[] = { "{\"pinned\":1,\"validation\":true}",
                "{\"pinned\":\"true\",\"validation\":[]}",
                "{\"pinned\":null,\"validation\":{\"valid\":\"yes\"}}",
                "{\"pinned\":{},\"validation\":null}" };
        const struct Layout *layout = *state;

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                _cleanup_json_ struct json_object *object = NULL;

                write_state(layout, texts[i]);
                object = load(layout);
                assert_non_null(object);
                assert_true(state_pinned(object, true));
                assert_false(state_pinned(object, false));
                assert_true(state_valid(object, true));
                assert_false(state_valid(object, false));
        }
}

static void test_text_that_is_no_stamp_never_becomes_a_path(void **state) {
        const struct Layout *layout = *state;
        _cleanup_failure_ struct Failure failure = { 0 };
        struct json_object *object;

        assert_int_equal(state_load(layout, "../../etc/passwd", &object), -EINVAL);
        assert_int_equal(state_remove(layout, "../" STAMP), -EINVAL);
        assert_int_equal(state_set_pinned(layout, "20260231T000000Z", true, &failure), -EINVAL);
        assert_int_equal(failure.event, EVENT_STAMP_INVALID);
}

static void test_a_missing_backup_root_is_not_created(void **state) {
        const struct Layout *layout = *state;
        _cleanup_failure_ struct Failure failure = { 0 };

        assert_int_equal(remove_tree_at(AT_FDCWD, layout->backups), 0);
        assert_int_equal(state_set_pinned(layout, STAMP, true, &failure), -ENOENT);
        assert_int_equal(failure.event, EVENT_WRITE_FAILED);
        assert_string_equal(failure.stamp, STAMP);
        assert_int_equal(access(layout->backups, F_OK), -1);
}

static void test_removed_is_gone_and_absent_is_fine(void **state) {
        const struct Layout *layout = *state;
        _cleanup_free_ char *path = state_path(layout);

        assert_int_equal(state_remove(layout, STAMP), 0); /* not even the directory */
        set_pinned(layout, true);
        assert_int_equal(state_remove(layout, STAMP), 0);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(state_remove(layout, STAMP), 0);
}

static void test_only_temporary_files_of_writers_are_leftovers(void **state) {
        static const char *const names[] = { "." STAMP ".json.tmp-0123456789abcdef", STAMP ".json",
                ".hidden", "." STAMP ".json", "." STAMP ".json.bak", "notes.txt",
                ".20260231T000000Z.json.tmp-0123456789abcdef" };
        const struct Layout *layout = *state;
        _cleanup_close_ int directory = -1;
        uint64_t removed = 0;

        assert_int_equal(state_remove_leftovers(layout, &removed), 0);
        assert_int_equal(make_directory_at(AT_FDCWD, layout->state), 0);
        directory = open(layout->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                assert_int_equal(write_new_file_at(directory, names[i], "{}", 2), 0);

        assert_int_equal(state_remove_leftovers(layout, &removed), 0);
        assert_int_equal(removed, 1);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                assert_int_equal(
                        faccessat(directory, names[i], F_OK, AT_SYMLINK_NOFOLLOW), i == 0 ? -1 : 0);
}

/* What write_file_atomic_at() leaves when it dies is what is looked for: the two must agree. */
static void test_the_temporary_file_of_a_killed_writer_is_a_leftover(void **state) {
        const struct Layout *layout = *state;
        uint64_t removed = 0;
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0) {
                /* The first byte written to a file ends it. */
                const struct rlimit nothing = { 0 };

                if (setrlimit(RLIMIT_CORE, &nothing) == 0 && setrlimit(RLIMIT_FSIZE, &nothing) == 0)
                        (void) state_set_pinned(layout, STAMP, true, NULL);
                _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGXFSZ);

        assert_int_equal(state_remove_leftovers(layout, &removed), 0);
        assert_int_equal(removed, 1);
        assert_int_equal(rmdir(layout->state), 0); /* empty */
}

/* Sets the member again and again and finds each time that nobody wrote the old value back. */
static bool keeps_its_own(const struct Layout *layout, bool pin) {
        for (int i = 0; i < 200; i++) {
                _cleanup_json_ struct json_object *object = NULL;
                _cleanup_json_ struct json_object *value = verdict(i % 2 == 0);
                int r = pin ? state_set_pinned(layout, STAMP, i % 2 == 0, NULL)
                            : state_set_validation(layout, STAMP, value, NULL);

                if (r < 0 || state_load(layout, STAMP, &object) < 0 ||
                        (pin ? state_pinned(object, i % 2 != 0)
                             : state_valid(object, i % 2 != 0)) != (i % 2 == 0))
                        return false;
        }
        return true;
}

static void test_a_pin_and_a_verdict_at_once_both_stay(void **state) {
        const struct Layout *layout = *state;
        pid_t child = fork();
        bool kept;
        int status;

        assert_true(child >= 0);
        if (child == 0)
                _exit(keeps_its_own(layout, true) ? 0 : 1);
        kept = keeps_its_own(layout, false);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_true(kept);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_absent_is_no_state_and_no_error, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_each_member_is_replaced_and_the_rest_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_members_that_are_not_ours_stay, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_file_and_directory_are_for_owner_and_group, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_broken_file_is_no_state_and_is_replaced, setup, teardown),
                cmocka_unit_test_setup_teardown(test_wrong_types_say_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_text_that_is_no_stamp_never_becomes_a_path, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_missing_backup_root_is_not_created, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_removed_is_gone_and_absent_is_fine, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_only_temporary_files_of_writers_are_leftovers, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_the_temporary_file_of_a_killed_writer_is_a_leftover, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_pin_and_a_verdict_at_once_both_stay, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
