/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/unit/scratch.h"

static void test_listen_takes_numeric_addresses_and_absolute_paths(void **state) {
        static const struct {
                const char *text;
                bool valid;
        } rows[] = {
                { "127.0.0.1:8100", true },
                { "127.0.0.1:0", true },
                { "0.0.0.0:65535", true },
                { "localhost:8100", true },
                { "[::1]:8100", true },
                { "[::]:8100", true },
                { "unix:/run/x.sock", true },
                { "", false },
                { "8100", false },
                { ":8100", false },
                { "127.0.0.1", false },
                { "127.0.0.1:", false },
                { "127.0.0.1:65536", false },
                { "127.0.0.1:-1", false },
                { "127.0.0.1:8100x", false },
                { "127.0.0.1:+80", false },
                { "127.1:8100", false },
                { "dalidou:8100", false },
                { "::1:8100", false },
                { "[::1:8100", false },
                { "[]:8100", false },
                { "unix:", false },
                { "unix:x.sock", false },
                { "unix:@abstract", false },
        };
        char longest[300];

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
                if (listener_is_valid(rows[i].text) != rows[i].valid)
                        fail_msg("%s is %s", rows[i].text, rows[i].valid ? "refused" : "accepted");
        (void) snprintf(longest, sizeof longest, "unix:/%0200d", 0);
        assert_false(listener_is_valid(longest));
}

static void test_port_0_is_told_as_the_port_that_was_had(void **state) {
        _cleanup_listeners_ struct Listeners listeners = { 0 };
        _cleanup_free_ char *text = NULL;
        unsigned port = 0;

        (void) state;
        assert_int_equal(listeners_add(&listeners, "127.0.0.1:0", NULL), 0);
        text = listeners_describe(&listeners);
        assert_int_equal(sscanf(text, "http://127.0.0.1:%u", &port), 1);
        assert_in_range(port, 1, 65535);
        assert_false(listeners_exposed(&listeners));
        assert_false(listeners_survive(&listeners));
        assert_false(listeners.list[0].admin);
}

static void test_wildcard_address_is_beyond_the_loopback(void **state) {
        _cleanup_listeners_ struct Listeners listeners = { 0 };

        (void) state;
        assert_int_equal(listeners_add(&listeners, "127.0.0.1:0", NULL), 0);
        assert_int_equal(listeners_add(&listeners, "0.0.0.0:0", NULL), 0);
        assert_true(listeners_exposed(&listeners));
}

static void test_address_in_use_is_a_failure_that_names_it(void **state) {
        _cleanup_listeners_ struct Listeners first = { 0 }, second = { 0 };
        _cleanup_failure_ struct Failure failure = { 0 };

        (void) state;
        assert_int_equal(listeners_add(&first, "127.0.0.1:0", NULL), 0);
        assert_true(
                listeners_add(&second, first.list[0].address + strlen("http://"), &failure) < 0);
        assert_int_equal(failure.event, EVENT_LISTEN_FAILED);
        assert_non_null(strstr(failure.message, first.list[0].address + strlen("http://")));
}

static void test_unix_socket_is_for_owner_and_group_and_goes_with_its_daemon(void **state) {
        struct Listeners listeners = { 0 };
        char text[PATH_MAX + 8];
        struct stat status;

        (void) state;
        (void) snprintf(text, sizeof text, "unix:%s", scratch("admin.sock"));
        assert_int_equal(listeners_add(&listeners, text, NULL), 0);
        assert_true(listeners.list[0].admin);
        assert_false(listeners.list[0].exposed);
        assert_string_equal(listeners.list[0].address, text);
        assert_int_equal(lstat(scratch("admin.sock"), &status), 0);
        assert_int_equal(status.st_mode & 07777, 0660);
        listeners_clear(&listeners);
        assert_int_equal(lstat(scratch("admin.sock"), &status), -1);
}

static void test_left_over_unix_socket_is_replaced_and_nothing_else_is(void **state) {
        _cleanup_listeners_ struct Listeners first = { 0 }, second = { 0 };
        char text[PATH_MAX + 8];

        (void) state;
        (void) snprintf(text, sizeof text, "unix:%s", scratch("admin.sock"));
        assert_int_equal(listeners_add(&first, text, NULL), 0);
        assert_true(listeners_add(&second, text, NULL) < 0); /* somebody listens */

        /* As a killed daemon leaves it. */
        (void) close(first.list[0].fd);
        first.list[0].fd = -1;
        free(STEAL(first.list[0].socket_path));
        assert_int_equal(listeners_add(&second, text, NULL), 0);

        (void) snprintf(text, sizeof text, "unix:%s", scratch("file"));
        MUST(write_new_file_at(AT_FDCWD, scratch("file"), "x", 1) == 0);
        assert_true(listeners_add(&second, text, NULL) < 0);
        assert_int_equal(access(scratch("file"), F_OK), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_listen_takes_numeric_addresses_and_absolute_paths),
                cmocka_unit_test(test_port_0_is_told_as_the_port_that_was_had),
                cmocka_unit_test(test_wildcard_address_is_beyond_the_loopback),
                cmocka_unit_test(test_address_in_use_is_a_failure_that_names_it),
                cmocka_unit_test_setup_teardown(
                        test_unix_socket_is_for_owner_and_group_and_goes_with_its_daemon,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_left_over_unix_socket_is_replaced_and_nothing_else_is, scratch_setup,
                        scratch_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
