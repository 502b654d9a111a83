/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/backup/private-daemon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/backup/private-environment.h"
#include "lib/base/http-client.h"
#include "tests/unit/fake-daemon.h"
#include "tests/unit/lock-fixture.h"

static int setup_root(void **state) {
        int r = setup(state);

        if (r < 0)
                return r;
        MUST(make_directories(scratch_directory, layout->tmp) >= 0);
        return 0;
}

static int teardown_root(void **state) {
        forget_daemons();
        return teardown(state);
}

static int start(const struct Layout *where, uint64_t ready_ms, uint64_t stop_ms,
        struct PrivateDaemon **ret_daemon, struct Failure *failure) {
        const struct PrivateDaemonOptions options = {
                .store_lock_fd = -1, .ready_ms = ready_ms, .stop_ms = stop_ms
        };
        struct Operation operation = waiting(0);

        return private_daemon_start(&operation, where, &options, ret_daemon, failure);
}

static struct PrivateDaemon *must_start(const struct Layout *where, uint64_t stop_ms) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct PrivateDaemon *daemon = NULL;

        if (start(where, 0, stop_ms, &daemon, &failure) < 0)
                fail_msg("%s", failure_message(&failure));
        return daemon;
}

static void assert_no_start(uint64_t ready_ms, const char *expected) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct PrivateDaemon *daemon = NULL;

        assert_true(start(layout, ready_ms, 0, &daemon, &failure) < 0);
        assert_null(daemon);
        assert_int_equal(failure.event, EVENT_PROOF_FAILED);
        assert_contains(failure.message, expected);
        assert_int_equal(scratch_entries(layout->tmp), 0);
        assert_no_child();
}

static void assert_answers(const struct PrivateDaemon *daemon) {
        const struct HttpRequest request = {
                .socket = private_daemon_socket(daemon), .path = "/health", .deadline_ms = 60000
        };
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *problem = NULL;

        if (http_request(NULL, &request, &answer, &problem) < 0)
                fail_msg("%s", problem);
        assert_int_equal(answer.status, 200);
}

static void test_daemon_serves_in_private_until_it_is_stopped(void **state) {
        _cleanup_private_daemon_ struct PrivateDaemon *daemon = NULL;
        struct stat st;

        (void) state;
        real_daemon();
        daemon = must_start(layout, 0);
        assert_answers(daemon);
        assert_null(private_daemon_end(daemon));

        /* Who may enter the directory may administrate. */
        _cleanup_free_ char *directory = strdup(private_daemon_socket(daemon));
        *strrchr(directory, '/') = '\0';
        assert_int_equal(strncmp(directory, layout->tmp, strlen(layout->tmp)), 0);
        assert_int_equal(stat(directory, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);

        daemon = private_daemon_stop(daemon);
        assert_null(daemon);
        assert_int_equal(scratch_entries(layout->tmp), 0);
        assert_no_child();
        assert_null(private_daemon_stop(NULL));
}

static void test_configuration_and_unit_of_ours_are_not_its(void **state) {
        static const char *const variables[][2] = {
                { "ATOCORE_ROOT", "not absolute" },
                { "ATOCORE_STORE_LOCK_FD", "no number" },
                { "CREDENTIALS_DIRECTORY", "/nowhere" },
                { "LISTEN_FDS", "nonsense" },
                { "WATCHDOG_USEC", "nonsense" },
                { "NOTIFY_SOCKET", "/nowhere" },
        };
        const size_t n = sizeof variables / sizeof variables[0];
        _cleanup_private_daemon_ struct PrivateDaemon *daemon = NULL;

        (void) state;
        real_daemon();
        for (size_t i = 0; i < n; i++)
                MUST(setenv(variables[i][0], variables[i][1], 1) >= 0);
        daemon = must_start(layout, 0);
        for (size_t i = 0; i < n; i++)
                MUST(unsetenv(variables[i][0]) >= 0);
        assert_answers(daemon);
}

static bool has(char *const *environment, const char *variable) {
        for (; *environment; environment++)
                if (strcmp(*environment, variable) == 0)
                        return true;
        return false;
}

static void test_environment_keeps_the_clock_and_names_the_lock(void **state) {
        _cleanup_environment_ char **with = NULL, **without = NULL;

        (void) state;
        MUST(setenv("ATOCORE_NOW", "20260407T060000Z", 1) >= 0);
        MUST(setenv("ATOCORE_API_TOKEN", "secret", 1) >= 0);
        MUST(setenv("LISTEN_PID", "1", 1) >= 0);
        with = private_environment("/a/b", 7);
        without = private_environment("/a/b", -1);
        MUST(unsetenv("ATOCORE_NOW") >= 0 && unsetenv("ATOCORE_API_TOKEN") >= 0);
        MUST(unsetenv("LISTEN_PID") >= 0);
        assert_true(has(with, "ATOCORE_NOW=20260407T060000Z"));
        assert_true(has(with, "NOTIFY_SOCKET=/a/b"));
        assert_true(has(with, "ATOCORE_STORE_LOCK_FD=7"));
        assert_true(has(without, "NOTIFY_SOCKET=/a/b"));
        for (char **variable = with; *variable; variable++)
                assert_true(strncmp(*variable, "LISTEN_", 7) != 0 && !strstr(*variable, "secret"));
        for (char **variable = without; *variable; variable++)
                assert_null(strstr(*variable, "STORE_LOCK"));
}

static void test_socket_goes_elsewhere_where_the_path_is_too_long(void **state) {
        _cleanup_private_daemon_ struct PrivateDaemon *daemon = NULL;
        _cleanup_layout_ struct Layout *deep = NULL;
        _cleanup_free_ char *path = NULL, *socket = NULL;

        (void) state;
        real_daemon();
        MUST(asprintf(&path, "%s/%0100d", scratch_directory, 1) > 0);
        MUST(layout_new(path, &deep) == 0);
        MUST(make_directories(scratch_directory, deep->tmp) == 0);
        daemon = must_start(deep, 0);
        assert_answers(daemon);
        socket = strdup(private_daemon_socket(daemon));
        assert_int_equal(strncmp(socket, "/tmp/proof-", 11), 0);
        daemon = private_daemon_stop(daemon);
        *strrchr(socket, '/') = '\0';
        assert_false(scratch_exists(socket));
}

static void test_a_root_without_data_tmp_is_served(void **state) {
        _cleanup_private_daemon_ struct PrivateDaemon *daemon = NULL;

        (void) state;
        real_daemon();
        assert_int_equal(rmdir(layout->tmp), 0);
        daemon = must_start(layout, 0);
        assert_answers(daemon);
}

static void test_what_cannot_be_started_is_told(void **state) {
        (void) state;
        MUST(setenv(PRIVATE_DAEMON_VARIABLE, scratch("absent"), 1) >= 0);
        assert_no_start(0, "it could not be executed");
        MUST(setenv(PRIVATE_DAEMON_VARIABLE, "/bin/false", 1) >= 0);
        assert_no_start(0, "was to serve, but it ended with status 1;");

        /* The real one says why. */
        real_daemon();
        _cleanup_layout_ struct Layout *absent = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        struct PrivateDaemon *daemon = NULL;
        MUST(layout_new(scratch("absent"), &absent) == 0);
        assert_true(start(absent, 0, 0, &daemon, &failure) < 0);
        assert_int_equal(failure.event, EVENT_PROOF_FAILED);
        assert_contains(
                failure.message, "ended with status 66: atocored: There is no storage root");
        assert_contains(failure.message, "[storage_root_missing]");
        assert_no_child();
}

static void test_one_that_is_never_ready_is_given_up(void **state) {
        (void) state;
        fake_daemon("is never ready");
        assert_no_start(1, "was to serve within 1 ms, and does not");
        assert_fake_is_gone();
}

static void test_one_that_ends_early_leaves_its_last_words(void **state) {
        _cleanup_private_daemon_ struct PrivateDaemon *daemon = NULL;
        _cleanup_free_ char *end = NULL;

        (void) state;
        fake_daemon("ends when ready");
        daemon = must_start(layout, 0);
        end = private_daemon_end(daemon);
        assert_non_null(end);
        assert_string_equal(end, "it ended with status 3: last words");
        daemon = private_daemon_stop(daemon);
        assert_no_child();
}

static void test_one_that_does_not_end_is_killed_with_its_children(void **state) {
        _cleanup_private_daemon_ struct PrivateDaemon *daemon = NULL;

        (void) state;
        fake_daemon("does not end");
        daemon = must_start(layout, 1);
        daemon = private_daemon_stop(daemon);
        assert_fake_is_gone();
        assert_int_equal(scratch_entries(layout->tmp), 0);
        assert_no_child();
}

static bool third_time(void *userdata) {
        unsigned *asked = userdata;

        return ++*asked >= 3;
}

static void test_waiting_can_be_cancelled(void **state) {
        const struct PrivateDaemonOptions options = { .store_lock_fd = -1 };
        struct Operation operation = waiting(0);
        _cleanup_failure_ struct Failure failure = { 0 };
        struct PrivateDaemon *daemon = NULL;
        unsigned asked = 0;

        (void) state;
        fake_daemon("is never ready");
        operation.cancelled = third_time;
        operation.userdata = &asked;
        assert_int_equal(
                private_daemon_start(&operation, layout, &options, &daemon, &failure), -EINTR);
        assert_int_equal(failure.event, EVENT_INTERRUPTED);
        assert_fake_is_gone();
        assert_int_equal(scratch_entries(layout->tmp), 0);
        assert_no_child();
}

static void start_and_wait(int ready, void *userdata) {
        struct PrivateDaemon *daemon = NULL;

        (void) userdata;
        MUST(start(layout, 0, 0, &daemon, NULL) >= 0);
        child_ready(ready);
        for (;;)
                (void) pause();
}

static void test_it_dies_with_who_started_it(void **state) {
        struct Child starter;

        (void) state;
        fake_daemon("is ready");
        starter = child_start(start_and_wait, NULL);
        child_kill(&starter);
        assert_fake_is_gone();
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, setup_root, teardown_root)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_daemon_serves_in_private_until_it_is_stopped),
                ON_ROOT(test_configuration_and_unit_of_ours_are_not_its),
                cmocka_unit_test(test_environment_keeps_the_clock_and_names_the_lock),
                ON_ROOT(test_socket_goes_elsewhere_where_the_path_is_too_long),
                ON_ROOT(test_a_root_without_data_tmp_is_served),
                ON_ROOT(test_what_cannot_be_started_is_told),
                ON_ROOT(test_one_that_is_never_ready_is_given_up),
                ON_ROOT(test_one_that_ends_early_leaves_its_last_words),
                ON_ROOT(test_one_that_does_not_end_is_killed_with_its_children),
                ON_ROOT(test_waiting_can_be_cancelled),
                ON_ROOT(test_it_dies_with_who_started_it),
        };
        fake_daemon_if_asked();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
