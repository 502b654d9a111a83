/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/file-io.h"
#include "ops/op.h"
#include "tests/unit/capture.h"

static int setup(void **state) {
        char directory[] = "/tmp/atocore-test-op-XXXXXX";

        assert_non_null(mkdtemp(directory));
        assert_true(asprintf((char **) state, "%s", directory) > 0);
        (void) unsetenv("ATOCORE_NOW");
        return 0;
}

static int teardown(void **state) {
        assert_int_equal(remove_tree_at(AT_FDCWD, *state), 0);
        free(*state);
        return 0;
}

/* A program: op_main() in a process of its own. */

typedef int (*Run)(struct Command *, struct Operation *, void *, struct Failure *);

struct Ended {
        int status;
        char *output;
        char *errors;
};

static void ended_clear(struct Ended *ended) {
        free(ended->output);
        free(ended->errors);
}
#define _cleanup_ended_ __attribute__((cleanup(ended_clear)))

/* A file on --config, so that nothing of this machine's is read. */
static int call(void **state, Run run, const char *option) {
        const struct Op op = { .program = { "atocore-test", "Tries things.", "[NAME...]", NULL },
                .run = run };
        _cleanup_free_ char *config = NULL;
        char name[] = "atocore-test", config_option[] = "--config", root_option[] = "--root";
        int fd;

        if (asprintf(&config, "%s/atocore.conf", (char *) *state) < 0)
                return -1;
        fd = open(config, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (write(fd, "lock_wait=17\n", 13) != 13 || close(fd) < 0)
                return -1;
        return op_main(&op, option ? 6 : 5,
                (char *[]){
                        name, config_option, config, root_option, *state, (char *) option, NULL });
}

static struct Ended start(void **state, Run run, const char *option) {
        struct Capture output = capture_start(STDOUT_FILENO), errors;
        struct Ended ended;
        pid_t child;

        errors = capture_start(STDERR_FILENO);
        child = fork();
        if (child == 0) {
                int status = call(state, run, option);

                (void) fflush(NULL);
                _exit(status);
        }
        if (waitpid(child, &ended.status, 0) != child || !WIFEXITED(ended.status))
                ended.status = -1;
        else
                ended.status = WEXITSTATUS(ended.status);
        ended.errors = capture_end(&errors);
        ended.output = capture_end(&output);
        return ended;
}

static int succeed(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        (void) userdata, (void) failure;
        operation_notice(
                operation, &(struct Event){ .id = EVENT_LEFTOVER_REMOVED }, "50%% of %d", 2);
        printf("%s %s %d\n", operation->program, operation->layout->root + strlen("/tmp/"),
                (int) operation->lock_wait);
        return operation->config == command->config && operation->clock == &command->clock ? 0 : -1;
}

static void test_what_went_well_ends_with_0_and_notices_are_events(void **state) {
        _cleanup_ended_ struct Ended ended = start(state, succeed, NULL);
        _cleanup_free_ char *expected = NULL;

        assert_true(
                asprintf(&expected, "atocore-test %s 17\n", (char *) *state + strlen("/tmp/")) > 0);
        assert_int_equal(ended.status, 0);
        assert_string_equal(ended.output, expected);
        assert_string_equal(ended.errors, "atocore-test: 50% of 2 [leftover_removed]\n");
}

static int fail_once(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        (void) command, (void) operation, (void) userdata;
        printf("half of it\n");
        return failure_set(failure, EVENT_SNAPSHOT_INVALID, 0, NULL, "Broken");
}

static void test_a_failure_is_reported_once_and_is_the_exit_status(void **state) {
        _cleanup_ended_ struct Ended ended = start(state, fail_once, "--json");

        assert_int_equal(ended.status, 65);
        assert_string_equal(ended.output, "half of it\n");
        assert_string_equal(ended.errors, "atocore-test: Broken [snapshot_invalid]\n");
}

static int fail_silently(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        (void) command, (void) operation, (void) userdata, (void) failure;
        return -EBUSY;
}

static int run_out_of_memory(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        (void) command, (void) operation, (void) userdata, (void) failure;
        return -ENOMEM;
}

static int fail_with_a_success(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        (void) command, (void) operation, (void) userdata;
        return failure_set(failure, EVENT_BACKUP_DONE, EIO, NULL, "Well done");
}

static void test_no_failure_ends_with_0_whatever_was_forgotten(void **state) {
        _cleanup_ended_ struct Ended silent = start(state, fail_silently, NULL),
                                     memory = start(state, run_out_of_memory, NULL),
                                     odd = start(state, fail_with_a_success, "--quiet");

        assert_int_equal(silent.status, 70);
        assert_non_null(strstr(silent.errors, "Device or resource busy"));
        assert_non_null(strstr(silent.errors, "[internal_error]\n"));
        assert_int_equal(memory.status, 70);
        assert_non_null(strstr(memory.errors, "[out_of_memory]\n"));
        assert_int_equal(odd.status, 70);
}

static int stop_at(struct Operation *operation, int signal, struct Failure *failure) {
        struct pollfd nothing = { .fd = -1 };
        int r;

        r = operation_check(operation, failure);
        if (r < 0)
                return -ENOTRECOVERABLE; /* too early */
        (void) raise(signal);
        if (poll(&nothing, 1, 0) < 0 && errno != EINTR)
                return -errno;
        return operation_check(operation, failure);
}

static int stop_at_term(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        (void) command, (void) userdata;
        return stop_at(operation, SIGTERM, failure);
}

static int stop_at_int(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        (void) command, (void) userdata;
        return stop_at(operation, SIGINT, failure);
}

static int stop_at_hup(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        (void) command, (void) userdata;
        return stop_at(operation, SIGHUP, failure);
}

static void test_signals_stop_an_operation_cleanly(void **state) {
        static const Run runs[] = { stop_at_term, stop_at_int, stop_at_hup };

        for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
                _cleanup_ended_ struct Ended ended = start(state, runs[i], NULL);

                assert_int_equal(ended.status, 75);
                assert_non_null(strstr(ended.errors, "[interrupted]\n"));
        }
}

static void test_a_signal_that_was_ignored_from_the_start_stays_so(void **state) {
        struct Ended ended;

        (void) signal(SIGHUP, SIG_IGN); /* nohup(1) */
        ended = start(state, stop_at_hup, NULL);
        (void) signal(SIGHUP, SIG_DFL);
        assert_int_equal(ended.status, 0);
        ended_clear(&ended);
}

static int print_much(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        (void) command, (void) operation, (void) userdata, (void) failure;
        for (int i = 0; i < 10000; i++)
                printf("line %d\n", i);
        return 0;
}

static int print_into_closed_pipe(struct Command *command, struct Operation *operation,
        void *userdata, struct Failure *failure) {
        int ends[2];

        if (pipe(ends) < 0 || dup2(ends[1], STDOUT_FILENO) < 0 || close(ends[0]) < 0)
                return -errno;
        return print_much(command, operation, userdata, failure);
}

static int print_json_on_full_disk(struct Command *command, struct Operation *operation,
        void *userdata, struct Failure *failure) {
        int full = open("/dev/full", O_WRONLY);

        (void) command, (void) operation, (void) userdata;
        if (full < 0 || dup2(full, STDOUT_FILENO) < 0)
                return -errno;
        return op_print_json(json_object_new_string("x"), failure);
}

static void test_output_that_is_lost_is_a_failure(void **state) {
        _cleanup_ended_ struct Ended pipe_ended = start(state, print_into_closed_pipe, NULL),
                                     full_ended = start(state, print_json_on_full_disk, NULL);

        assert_int_equal(pipe_ended.status, 73);
        assert_non_null(strstr(pipe_ended.errors, "[write_failed]\n"));
        assert_int_equal(full_ended.status, 73);
        assert_non_null(strstr(full_ended.errors, "No space left"));
}

static int print_json(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        struct json_object *object = json_object_new_object();

        (void) command, (void) operation, (void) userdata;
        (void) json_object_object_add(object, "path", json_object_new_string("a/\"b\"\n"));
        return op_print_json(object, failure);
}

static int print_no_json(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        (void) command, (void) operation, (void) userdata;
        return op_print_json(NULL, failure);
}

static void test_json_is_one_document_and_a_newline(void **state) {
        _cleanup_ended_ struct Ended ended = start(state, print_json, "--json"),
                                     nothing = start(state, print_no_json, "--json");

        assert_int_equal(ended.status, 0);
        assert_string_equal(ended.output, "{\n  \"path\":\"a/\\\"b\\\"\\n\"\n}\n");
        assert_string_equal(ended.errors, "");
        assert_int_equal(nothing.status, 70);
        assert_string_equal(nothing.output, "");
}

/* The lowest free descriptor is what a database opened now would get. */
static int open_a_file(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void) command, (void) operation, (void) userdata, (void) failure;
        _exit(fd > STDERR_FILENO && write(STDOUT_FILENO, "x", 1) < 0 &&
                                write(STDERR_FILENO, "x", 1) < 0
                        ? 0
                        : 1);
}

static int started_with_closed_descriptors(void **state) {
        (void) close(STDIN_FILENO);
        (void) close(STDOUT_FILENO);
        (void) close(STDERR_FILENO);
        return call(state, open_a_file, NULL);
}

static void test_no_file_gets_the_number_of_a_standard_stream(void **state) {
        pid_t child = fork();
        int status;

        if (child == 0)
                _exit(started_with_closed_descriptors(state));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_what_went_well_ends_with_0_and_notices_are_events, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_failure_is_reported_once_and_is_the_exit_status, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_no_failure_ends_with_0_whatever_was_forgotten, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_signals_stop_an_operation_cleanly, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_signal_that_was_ignored_from_the_start_stays_so, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_output_that_is_lost_is_a_failure, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_json_is_one_document_and_a_newline, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_no_file_gets_the_number_of_a_standard_stream, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
