/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "lib/base/failure.h"

static void test_first_failure_is_the_cause_and_stays(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };

        (void) state;
        assert_false(failure_is_set(&failure));
        assert_int_equal(
                failure_set(&failure, EVENT_DATABASE_INVALID, EBADMSG, "/a", "first %d", 1),
                -EBADMSG);
        assert_int_equal(failure_set(&failure, EVENT_WRITE_FAILED, EIO, "/b", "second"), -EIO);
        assert_int_equal(failure_out_of_memory(&failure), -ENOMEM);
        assert_int_equal(failure_set_read(&failure, ENOENT, "/c", "read"), -ENOENT);

        assert_true(failure_is_set(&failure));
        assert_int_equal(failure.event, EVENT_DATABASE_INVALID);
        assert_int_equal(failure.error, EBADMSG);
        assert_string_equal(failure.path, "/a");
        assert_string_equal(failure_message(&failure), "first 1");
}

static void test_percent_m_is_the_text_of_the_error_given(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };

        (void) state;
        errno = EBUSY;
        assert_int_equal(
                failure_set(&failure, EVENT_READ_FAILED, ENOENT, NULL, "%s: %m", "x"), -ENOENT);
        assert_int_equal(errno, EBUSY);
        assert_string_equal(failure_message(&failure), "x: No such file or directory");
        assert_null(failure.path);
}

static void test_without_a_struct_only_the_status_counts(void **state) {
        (void) state;
        assert_int_equal(failure_set(NULL, EVENT_READ_FAILED, EIO, "/a", "text"), -EIO);
        assert_int_equal(failure_set(NULL, EVENT_SNAPSHOT_INVALID, 0, "/a", "text"), -EBADMSG);
        assert_int_equal(failure_set_write(NULL, ENOSPC, "/a", "write"), -ENOSPC);
        assert_int_equal(failure_set_read(NULL, EIO, "/a", "read"), -EIO);
        assert_int_equal(failure_out_of_memory(NULL), -ENOMEM);
        assert_false(failure_is_set(NULL));
        failure_set_stamp(NULL, "20260407T060000Z");
        failure_clear(NULL);
}

static void test_no_failure_is_without_an_event(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };

        (void) state;
        assert_int_equal(failure_set(&failure, EVENT_NONE, EIO, NULL, "lost"), -EIO);
        assert_int_equal(failure.event, EVENT_INTERNAL_ERROR);
}

struct Case {
        int error;
        enum EventId event;
        int exit_status;
        const char *action;
};

static void check_cases(const struct Case *cases, size_t n,
        int (*set)(struct Failure *, int, const char *, const char *)) {
        for (size_t i = 0; i < n; i++) {
                _cleanup_failure_ struct Failure failure = { 0 };
                const char *message;

                assert_int_equal(
                        set(&failure, cases[i].error, "/some/file", "handle"), -cases[i].error);
                message = failure_message(&failure);
                if (failure.event != cases[i].event || !strstr(message, cases[i].action))
                        fail_msg("errno %d became %s: %s", cases[i].error,
                                event_code(failure.event), message);
                assert_int_equal(event_exit_status(failure.event), cases[i].exit_status);
                if (failure.event == EVENT_OUT_OF_MEMORY)
                        continue;
                assert_int_equal(failure.error, cases[i].error);
                assert_string_equal(failure.path, "/some/file");
                assert_non_null(strstr(message, "handle /some/file"));
        }
}

static void test_a_failed_write_says_what_an_operator_must_do(void **state) {
        static const struct Case cases[] = {
                { ENOSPC, EVENT_NO_SPACE, EX_CANTCREAT, "free some space" },
                { EDQUOT, EVENT_NO_SPACE, EX_CANTCREAT, "quota" },
                { EROFS, EVENT_WRITE_FAILED, EX_CANTCREAT, "mounted read-only" },
                { EACCES, EVENT_WRITE_FAILED, EX_CANTCREAT, "owner and mode" },
                { EPERM, EVENT_WRITE_FAILED, EX_CANTCREAT, "owner and attributes" },
                { ENOENT, EVENT_WRITE_FAILED, EX_CANTCREAT, "directory" },
                { EFBIG, EVENT_WRITE_FAILED, EX_CANTCREAT, "LimitFSIZE=" },
                { EMFILE, EVENT_WRITE_FAILED, EX_CANTCREAT, "LimitNOFILE=" },
                { EOWNERDEAD, EVENT_WRITE_FAILED, EX_CANTCREAT, "check the file system" },
                { EIO, EVENT_IO_ERROR, EX_IOERR, "check the disk" },
                { ENOMEM, EVENT_OUT_OF_MEMORY, EX_SOFTWARE, "Memory ran out" },
                { EINTR, EVENT_INTERRUPTED, EX_TEMPFAIL, "signal" },
        };

        (void) state;
        check_cases(cases, sizeof cases / sizeof cases[0], failure_set_write);
}

static void test_a_failed_read_says_what_an_operator_must_do(void **state) {
        static const struct Case cases[] = {
                { EACCES, EVENT_PERMISSION_DENIED, EX_NOPERM, "able to read" },
                { EPERM, EVENT_PERMISSION_DENIED, EX_NOPERM, "allowed to read" },
                { ENOENT, EVENT_READ_FAILED, EX_IOERR, "mounted" },
                { EISDIR, EVENT_READ_FAILED, EX_IOERR, "a file is expected" },
                { EIO, EVENT_READ_FAILED, EX_IOERR, "check the disk" },
                { ESTALE, EVENT_READ_FAILED, EX_IOERR, "still connected" },
                { ENOMEM, EVENT_OUT_OF_MEMORY, EX_SOFTWARE, "Memory ran out" },
                { EINTR, EVENT_INTERRUPTED, EX_TEMPFAIL, "signal" },
        };

        (void) state;
        check_cases(cases, sizeof cases / sizeof cases[0], failure_set_read);
}

static void test_a_file_in_an_open_directory_is_named_in_full(void **state) {
        _cleanup_failure_ struct Failure below = { 0 }, itself = { 0 };

        (void) state;
        assert_int_equal(failure_set_write_at(&below, ENOSPC, "/a", "b/c", "write"), -ENOSPC);
        assert_string_equal(below.path, "/a/b/c");
        assert_non_null(strstr(failure_message(&below), "Cannot write /a/b/c: "));
        assert_int_equal(failure_set_read_at(&itself, EACCES, "/a", "", "read"), -EACCES);
        assert_string_equal(itself.path, "/a");
        assert_int_equal(itself.event, EVENT_PERMISSION_DENIED);
}

static void test_there_is_a_sentence_even_when_memory_ran_out(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };
        const struct Failure speechless = { .event = EVENT_READ_FAILED };

        (void) state;
        assert_int_equal(failure_out_of_memory(&failure), -ENOMEM);
        assert_int_equal(failure.event, EVENT_OUT_OF_MEMORY);
        assert_null(failure.message);
        assert_true(strlen(failure_message(&failure)) > 20);
        assert_true(strlen(failure_message(&speechless)) > 20);
}

static void test_stamp_is_kept_whole_and_first(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };

        (void) state;
        failure_set_stamp(&failure, "20260407T060000Z and more than fits");
        assert_string_equal(failure.stamp, "20260407T060000Z");
        failure_set_stamp(&failure, "20270407T060000Z");
        assert_string_equal(failure.stamp, "20260407T060000Z");
}

static void test_a_cleared_failure_can_be_used_again(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };

        (void) state;
        (void) failure_set(&failure, EVENT_READ_FAILED, EIO, "/a", "first");
        failure_set_stamp(&failure, "20260407T060000Z");
        failure_clear(&failure);
        assert_false(failure_is_set(&failure));
        assert_string_equal(failure.stamp, "");
        assert_null(failure.path);
        (void) failure_set(&failure, EVENT_WRITE_FAILED, EIO, NULL, "second");
        assert_string_equal(failure_message(&failure), "second");
}

static void test_each_event_has_an_id_and_code_of_its_own(void **state) {
        (void) state;
        for (int a = 1; a < EVENT_COUNT; a++) {
                const char *id = event_message_id((enum EventId) a);

                assert_int_equal(strspn(id, "0123456789abcdef"), 32);
                assert_int_equal(strlen(id), 32);
                assert_true(event_priority((enum EventId) a) <= LOG_INFO);
                for (const char *p = event_code((enum EventId) a); *p != '\0'; p++)
                        assert_true(islower((unsigned char) *p) || *p == '_');
                for (int b = 1; b < a; b++) {
                        assert_string_not_equal(id, event_message_id((enum EventId) b));
                        assert_string_not_equal(
                                event_code((enum EventId) a), event_code((enum EventId) b));
                }
        }
        assert_string_equal(event_code(EVENT_LOCK_BUSY), "lock_busy");
        assert_string_equal(event_code((enum EventId) 12345), "none");
        assert_int_equal(event_exit_status(EVENT_USAGE), 64);
        assert_int_equal(event_exit_status(EVENT_BACKUP_DONE), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_first_failure_is_the_cause_and_stays),
                cmocka_unit_test(test_percent_m_is_the_text_of_the_error_given),
                cmocka_unit_test(test_without_a_struct_only_the_status_counts),
                cmocka_unit_test(test_no_failure_is_without_an_event),
                cmocka_unit_test(test_a_failed_write_says_what_an_operator_must_do),
                cmocka_unit_test(test_a_failed_read_says_what_an_operator_must_do),
                cmocka_unit_test(test_a_file_in_an_open_directory_is_named_in_full),
                cmocka_unit_test(test_there_is_a_sentence_even_when_memory_ran_out),
                cmocka_unit_test(test_stamp_is_kept_whole_and_first),
                cmocka_unit_test(test_a_cleared_failure_can_be_used_again),
                cmocka_unit_test(test_each_event_has_an_id_and_code_of_its_own),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
