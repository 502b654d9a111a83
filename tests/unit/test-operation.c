/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "lib/base/operation.h"

static bool always(void *userdata) {
        (void) userdata;
        return true;
}

static void keep_progress(const char *what, uint64_t done, uint64_t total, void *userdata) {
        (void) snprintf(userdata, 100, "%s %d/%d", what, (int) done, (int) total);
}

static void keep_notice(const struct Event *event, const char *message, void *userdata) {
        (void) snprintf(userdata, 100, "%s: %s", event_code(event->id), message);
}

static void test_an_operation_without_callbacks_is_silent_and_goes_on(void **state) {
        const struct Event event = { .id = EVENT_BACKUP_WARNING };
        const struct Operation bare = { 0 }, *const operations[] = { NULL, &bare };

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                _cleanup_failure_ struct Failure failure = { 0 };

                assert_false(operation_cancelled(operations[i]));
                assert_int_equal(operation_check(operations[i], &failure), 0);
                assert_false(failure_is_set(&failure));
                operation_progress(operations[i], "Step", 1, 2);
                operation_notice(operations[i], &event, "text %d", 1);
        }
}

static void test_a_cancelled_operation_is_interrupted(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };
        const struct Operation operation = { .cancelled = always };

        (void) state;
        assert_int_equal(operation_check(&operation, &failure), -EINTR);
        assert_int_equal(failure.event, EVENT_INTERRUPTED);
        assert_int_equal(failure.error, EINTR);
}

static void test_callbacks_get_what_was_said(void **state) {
        char seen[100] = "";
        const struct Operation operation = {
                .progress = keep_progress,
                .notice = keep_notice,
                .userdata = seen,
        };

        (void) state;
        operation_progress(&operation, "Step", 1, 2);
        assert_string_equal(seen, "Step 1/2");
        operation_notice(&operation, &(struct Event){ .id = EVENT_LEFTOVER_REMOVED }, "text %d", 7);
        assert_string_equal(seen, "leftover_removed: text 7");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_operation_without_callbacks_is_silent_and_goes_on),
                cmocka_unit_test(test_a_cancelled_operation_is_interrupted),
                cmocka_unit_test(test_callbacks_get_what_was_said),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
