/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio_ext.h>
#include <string.h>

#include "lib/command/options.h"
#include "tests/unit/capture.h"

/* A program with an option of each kind. */

struct Seen {
        uint64_t wait;
        int pins;
        int archives;
        char format[16];
};

static int parse_wait(const char *argument, void *userdata, struct Failure *failure) {
        struct Seen *seen = userdata;

        return option_parse_number("wait", argument, 1, 86400, &seen->wait, failure);
}

static int parse_pin(const char *argument, void *userdata, struct Failure *failure) {
        struct Seen *seen = userdata;

        (void) failure;
        assert_null(argument);
        seen->pins++;
        return 0;
}

static int parse_archive(const char *argument, void *userdata, struct Failure *failure) {
        struct Seen *seen = userdata;

        (void) failure;
        seen->archives++;
        (void) snprintf(
                seen->format, sizeof seen->format, "%s", argument ? argument : "none given");
        return 0;
}

static const struct Option options[] = {
        { "wait", 'w', "SEC", "how long to wait", parse_wait },
        { "pin", 'p', NULL, "keep it", parse_pin },
        { "archive", 0, "[FORMAT]", "pack it", parse_archive },
        { 0 },
};
static const struct Program program = { "atocore-test", "Tries things.", "[NAME...]", options };
static const struct Program strict = { "atocore-strict", "Takes no argument.", NULL, NULL };

/* One run of command_prepare(), without a configuration of this machine's. */
struct Run {
        int r;
        enum CommandStep step;
        struct Command command;
        struct Failure failure;
        struct Seen seen;
        char *output;
        char *argv[16];
};

static void run_clear(struct Run *run) {
        command_clear(&run->command);
        failure_clear(&run->failure);
        free(run->output);
}
#define _cleanup_run_ __attribute__((cleanup(run_clear)))

static char *empty_config;

static int group_setup(void **state) {
        char path[] = "/tmp/atocore-test-options-XXXXXX";
        int fd = mkstemp(path);

        (void) state;
        (void) unsetenv("ATOCORE_ROOT");
        (void) unsetenv("ATOCORE_NOW");
        empty_config = strdup(path);
        return close(fd);
}

static int group_teardown(void **state) {
        int r = unlink(empty_config);

        (void) state;
        free(empty_config);
        return r;
}

static void prepare(struct Run *run, const struct Program *of, const char *const arguments[]) {
        struct Capture capture;
        int argc = 0;

        run->argv[argc++] = (char *) of->name;
        run->argv[argc++] = (char *) "--config";
        run->argv[argc++] = empty_config;
        for (; *arguments; arguments++)
                run->argv[argc++] = (char *) *arguments;
        capture = capture_start(STDOUT_FILENO);
        run->r = command_prepare(
                of, argc, run->argv, &run->seen, &run->command, &run->step, &run->failure);
        run->output = capture_end(&capture);
}
#define PREPARE(run, of, ...) prepare(run, of, (const char *const[]){ __VA_ARGS__, NULL })

static void test_arguments_of_options_come_with_equals_or_blank(void **state) {
        static const char *const forms[][3] = { { "--wait=5" }, { "--wait", "5" }, { "-w5" },
                { "-w", "5" } };

        (void) state;
        for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
                _cleanup_run_ struct Run run = { 0 };

                prepare(&run, &program, forms[i]);
                assert_int_equal(run.r, 0);
                assert_int_equal(run.step, COMMAND_RUN);
                assert_int_equal(run.seen.wait, 5);
                assert_int_equal(run.command.n_arguments, 0);
                assert_string_equal(run.output, "");
        }
}

static void test_an_optional_argument_comes_with_equals_only(void **state) {
        _cleanup_run_ struct Run with = { 0 }, without = { 0 };

        (void) state;
        PREPARE(&with, &program, "--archive=zstd");
        assert_string_equal(with.seen.format, "zstd");
        PREPARE(&without, &program, "--archive", "zstd");
        assert_string_equal(without.seen.format, "none given");
        assert_int_equal(without.command.n_arguments, 1);
        assert_string_equal(without.command.arguments[0], "zstd");
}

static void test_options_and_arguments_may_be_mixed(void **state) {
        _cleanup_run_ struct Run run = { 0 };

        (void) state;
        PREPARE(&run, &program, "one", "--pin", "two", "-p", "--", "--pin");
        assert_int_equal(run.r, 0);
        assert_int_equal(run.seen.pins, 2);
        assert_int_equal(run.command.n_arguments, 3);
        assert_string_equal(run.command.arguments[0], "one");
        assert_string_equal(run.command.arguments[1], "two");
        assert_string_equal(run.command.arguments[2], "--pin");
        assert_null(run.command.arguments[3]);
}

static void test_common_options_reach_the_command(void **state) {
        _cleanup_run_ struct Run run = { 0 }, plain = { 0 };

        (void) state;
        PREPARE(&run, &program, "--root", "/some/root//", "--json");
        assert_true(run.command.json);
        assert_string_equal(run.command.config->root, "/some/root//");
        assert_string_equal(run.command.layout->root, "/some/root");
        assert_false(run.command.clock.frozen);

        PREPARE(&plain, &program, NULL);
        assert_false(plain.command.json);
        assert_int_equal(plain.command.verbosity, VERBOSITY_NORMAL);
        assert_string_equal(plain.command.layout->root, ATOCORE_STORAGE_ROOT);
}

static void test_the_last_of_quiet_and_verbose_wins(void **state) {
        _cleanup_run_ struct Run quiet = { 0 }, verbose = { 0 };

        (void) state;
        PREPARE(&quiet, &program, "--verbose", "-q");
        assert_int_equal(quiet.command.verbosity, VERBOSITY_QUIET);
        PREPARE(&verbose, &program, "-q", "-v");
        assert_int_equal(verbose.command.verbosity, VERBOSITY_VERBOSE);
}

static void expect_usage(
        const struct Program *of, const char *const arguments[], const char *word) {
        _cleanup_run_ struct Run run = { 0 };
        char hint[64];

        prepare(&run, of, arguments);
        (void) snprintf(hint, sizeof hint, "; try '%s --help'", of->name);
        assert_true(run.r < 0);
        assert_int_equal(run.failure.event, EVENT_USAGE);
        assert_int_equal(event_exit_status(run.failure.event), 64);
        if (!strstr(failure_message(&run.failure), word) ||
                !strstr(failure_message(&run.failure), hint))
                fail_msg("no %s in: %s", word, failure_message(&run.failure));
        assert_null(run.command.config);
        assert_string_equal(run.output, "");
}
#define EXPECT_USAGE(of, word, ...)                                                                \
        expect_usage(of, (const char *const[]){ __VA_ARGS__, NULL }, word)

static void test_what_is_wrong_on_the_command_line_is_named(void **state) {
        (void) state;
        EXPECT_USAGE(&program, "--bogus", "--bogus");
        EXPECT_USAGE(&program, "--bogus=1", "--bogus=1");
        EXPECT_USAGE(&program, "-x", "-px");
        EXPECT_USAGE(&program, "--ver", "--ver");
        EXPECT_USAGE(&program, "--wait needs an argument, SEC", "--wait");
        EXPECT_USAGE(&program, "--wait needs an argument, SEC", "-pw");
        EXPECT_USAGE(&program, "--pin takes no argument", "--pin=yes");
        EXPECT_USAGE(&program, "--wait: 0; ", "--wait=0");
        EXPECT_USAGE(&program, "--wait: 86401; ", "--wait=86401");
        EXPECT_USAGE(&program, "--wait: nothing; ", "--wait=");
        EXPECT_USAGE(&program, "--wait: 5s; ", "--wait", "5s");
        EXPECT_USAGE(&program, "-a", "-a");
}

static void test_the_first_mistake_is_the_one_that_is_named(void **state) {
        (void) state;
        EXPECT_USAGE(&program, "--first", "--first", "--wait=x", "--second");
        EXPECT_USAGE(&program, "--wait", "--wait=x", "--second");
}

static void test_a_program_without_arguments_refuses_them(void **state) {
        (void) state;
        EXPECT_USAGE(&strict, "Unexpected argument extra", "extra");
        EXPECT_USAGE(&strict, "--pin", "--pin");
}

static void test_help_lists_every_option_and_where_the_root_comes_from(void **state) {
        static const char *const said[] = { "Usage: atocore-test [OPTION...] [NAME...]\n",
                "Tries things.", "  -w, --wait SEC ", "  -p, --pin ", "      --archive[=FORMAT] ",
                "--root DIR ", "--config FILE ", "--json ", "-q, --quiet ", "-v, --verbose ",
                "-h, --help ", "-V, --version ", "how long to wait\n", "ATOCORE_ROOT",
                ATOCORE_CONFIG_FILE, ATOCORE_STORAGE_ROOT };
        _cleanup_run_ struct Run run = { 0 }, bare = { 0 };

        (void) state;
        PREPARE(&run, &program, "--help");
        assert_int_equal(run.r, 0);
        assert_int_equal(run.step, COMMAND_EXIT);
        for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
                if (!strstr(run.output, said[i]))
                        fail_msg("no \"%s\" in\n%s", said[i], run.output);

        PREPARE(&bare, &strict, "-h");
        assert_non_null(strstr(bare.output, "Usage: atocore-strict [OPTION...]\n"));
        assert_null(strstr(bare.output, "\nOptions:"));
        assert_non_null(strstr(bare.output, "\nCommon options:"));
}

static void test_help_wins_over_all_that_is_wrong_beside_it(void **state) {
        static const char *const lines[][5] = { { "--bogus", "--help" }, { "--help", "--wait=x" },
                { "--config", "/nonexistent", "-h" }, { "--root", "here", "--help" },
                { "--version", "--help" } };

        (void) state;
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
                _cleanup_run_ struct Run run = { 0 };

                prepare(&run, &program, lines[i]);
                assert_int_equal(run.r, 0);
                assert_int_equal(run.step, COMMAND_EXIT);
                assert_false(failure_is_set(&run.failure));
                assert_non_null(strstr(run.output, "Usage: "));
        }
}

static void test_version_is_name_and_number(void **state) {
        _cleanup_run_ struct Run run = { 0 };

        (void) state;
        PREPARE(&run, &program, "-V");
        assert_int_equal(run.r, 0);
        assert_int_equal(run.step, COMMAND_EXIT);
        assert_string_equal(run.output, "atocore-test " ATOCORE_VERSION "\n");
}

static void test_a_help_text_that_cannot_be_written_is_a_failure(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };
        char name[] = "atocore-test", help[] = "--help", *argv[] = { name, help, NULL };
        int full = open("/dev/full", O_WRONLY), saved = dup(STDOUT_FILENO), r;
        struct Command command = { 0 };
        enum CommandStep step;

        (void) state;
        (void) fflush(stdout);
        (void) dup2(full, STDOUT_FILENO);
        r = command_prepare(&program, 2, argv, NULL, &command, &step, &failure);
        __fpurge(stdout);
        clearerr(stdout);
        (void) dup2(saved, STDOUT_FILENO);
        (void) close(saved);
        (void) close(full);

        assert_int_equal(r, -ENOSPC);
        assert_int_equal(failure.event, EVENT_WRITE_FAILED);
}

static void test_the_clock_stands_where_the_environment_says(void **state) {
        _cleanup_run_ struct Run frozen = { 0 }, bad = { 0 };

        (void) state;
        (void) setenv("ATOCORE_NOW", "20260407T060000Z", 1);
        PREPARE(&frozen, &program, NULL);
        (void) setenv("ATOCORE_NOW", "yesterday", 1);
        PREPARE(&bad, &program, NULL);
        (void) unsetenv("ATOCORE_NOW");

        assert_true(frozen.command.clock.frozen);
        assert_true(bad.r < 0);
        assert_int_equal(bad.failure.event, EVENT_CONFIG_INVALID);
        assert_non_null(strstr(failure_message(&bad.failure), "ATOCORE_NOW"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_arguments_of_options_come_with_equals_or_blank),
                cmocka_unit_test(test_an_optional_argument_comes_with_equals_only),
                cmocka_unit_test(test_options_and_arguments_may_be_mixed),
                cmocka_unit_test(test_common_options_reach_the_command),
                cmocka_unit_test(test_the_last_of_quiet_and_verbose_wins),
                cmocka_unit_test(test_what_is_wrong_on_the_command_line_is_named),
                cmocka_unit_test(test_the_first_mistake_is_the_one_that_is_named),
                cmocka_unit_test(test_a_program_without_arguments_refuses_them),
                cmocka_unit_test(test_help_lists_every_option_and_where_the_root_comes_from),
                cmocka_unit_test(test_help_wins_over_all_that_is_wrong_beside_it),
                cmocka_unit_test(test_version_is_name_and_number),
                cmocka_unit_test(test_a_help_text_that_cannot_be_written_is_a_failure),
                cmocka_unit_test(test_the_clock_stands_where_the_environment_says),
        };

        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
