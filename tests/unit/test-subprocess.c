/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/subprocess.h"

#include <poll.h>

#include "tests/unit/backup-fixture.h"

static int start(struct Fixture *f, const char *script, const char *directory,
        char *const *environment, struct Subprocess **ret) {
        const char *const arguments[] = { "sh", "-c", script, "sh", NULL };
        const struct SubprocessCommand command = { arguments, environment, directory };

        return subprocess_start(&f->operation, &command, ret, &f->failure);
}

/* All that it writes, with a NUL; the caller frees. */
static char *read_all(struct Fixture *f, struct Subprocess *process, size_t *ret_size) {
        const size_t room = 8 << 20;
        char *text = calloc(1, room + 1);
        size_t size = 0;
        ssize_t n;

        assert_non_null(text);
        while ((n = subprocess_read(process, text + size, room - size, &f->failure)) > 0)
                size += (size_t) n;
        assert_int_equal(n, 0);
        if (ret_size)
                *ret_size = size;
        return text;
}

static int run_script(struct Fixture *f, const char *script, char **ret_output, char **ret_words) {
        _cleanup_subprocess_ struct Subprocess *process = NULL;
        int status = -1;

        assert_int_equal(start(f, script, NULL, NULL, &process), 0);
        *ret_output = read_all(f, process, NULL);
        assert_int_equal(subprocess_finish(process, &status, &f->failure), 0);
        if (ret_words)
                *ret_words = strdup(subprocess_words(process));
        return status;
}

static void test_all_that_it_writes_is_read(void **state) {
        struct Fixture *f = *state;
        _cleanup_subprocess_ struct Subprocess *process = NULL;
        _cleanup_free_ char *output = NULL;
        size_t size;
        int status;

        assert_int_equal(start(f, "head -c 5000000 /dev/zero", NULL, NULL, &process), 0);
        output = read_all(f, process, &size);
        assert_int_equal(size, 5000000);
        assert_int_equal(subprocess_finish(process, &status, &f->failure), 0);
        assert_int_equal(status, 0);
}

static void test_what_is_not_read_does_not_hold_it_up(void **state) {
        struct Fixture *f = *state;
        _cleanup_subprocess_ struct Subprocess *process = NULL;
        int status;

        assert_int_equal(start(f, "head -c 5000000 /dev/zero; exit 7", NULL, NULL, &process), 0);
        assert_int_equal(subprocess_finish(process, &status, &f->failure), 0);
        assert_int_equal(status, 7);
}

static void test_its_end_is_told(void **state) {
        struct Fixture *f = *state;
        static const struct {
                const char *script;
                int status;
        } ends[] = { { "exit 0", 0 }, { "exit 3", 3 }, { "kill -KILL $$", 128 + SIGKILL },
                { "kill -PIPE $$", 128 + SIGPIPE } };

        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
                _cleanup_free_ char *output = NULL;

                assert_int_equal(run_script(f, ends[i].script, &output, NULL), ends[i].status);
        }
}

static void test_the_end_of_its_words_is_kept(void **state) {
        struct Fixture *f = *state;
        _cleanup_free_ char *output = NULL, *words = NULL, *none = NULL, *short_words = NULL;

        assert_int_equal(
                run_script(f, "seq 100000 >&2; echo last >&2; echo out", &output, &words), 0);
        assert_string_equal(output, "out\n");
        assert_true(strlen(words) > 1000 && strlen(words) < 10000);
        assert_string_equal(words + strlen(words) - 12, "100000\nlast\n");
        assert_int_equal(run_script(f, "echo why >&2; exit 1", &none, &short_words), 1);
        assert_string_equal(short_words, "why\n");
}

static void test_it_has_no_input_no_terminal_and_no_signals_of_ours(void **state) {
        struct Fixture *f = *state;
        _cleanup_free_ char *output = NULL;

        MUST(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
        /* The fields of /proc/self/status are masks: PIPE is bit 12. */
        assert_int_equal(run_script(f,
                                 "cat; (: </dev/tty) 2>/dev/null && echo terminal; "
                                 "sed -n 's/^SigIgn:.//p; s/^SigBlk:.//p' /proc/self/status; "
                                 "ls /proc/self/fd | wc -l",
                                 &output, NULL),
                0);
        /* 0, 1, 2, and that of ls itself. */
        assert_string_equal(output, "0000000000000000\n0000000000000000\n4\n");
}

static void test_environment_and_directory_are_as_given(void **state) {
        struct Fixture *f = *state;
        char *const environment[] = { (char *) (uintptr_t) "A=1",
                (char *) (uintptr_t) "HOME=/there", (char *) (uintptr_t) "A=2", NULL };
        _cleanup_subprocess_ struct Subprocess *process = NULL;
        _cleanup_free_ char *output = NULL, *expected = NULL;
        int status;

        assert_int_equal(start(f, "echo $A $HOME; pwd; env | grep -c '^A='", scratch_directory,
                                 environment, &process),
                0);
        output = read_all(f, process, NULL);
        assert_int_equal(subprocess_finish(process, &status, &f->failure), 0);
        MUST(asprintf(&expected, "2 /there\n%s\n1\n", scratch_directory) > 0);
        assert_string_equal(output, expected);
}

static void test_what_cannot_be_run_is_told_apart(void **state) {
        struct Fixture *f = *state;
        const char *const none[] = { "atocore-no-such-program", NULL };
        const char *const directory[] = { scratch_directory, NULL };
        struct SubprocessCommand command = { .arguments = none };
        struct Subprocess *process = NULL;

        assert_int_equal(subprocess_start(&f->operation, &command, &process, &f->failure), -ENOENT);
        assert_false(failure_is_set(&f->failure));
        command.arguments = directory;
        assert_int_equal(subprocess_start(&f->operation, &command, &process, &f->failure), -EACCES);
        assert_int_equal(f->failure.event, EVENT_PERMISSION_DENIED);
        failure_clear(&f->failure);
        assert_int_equal(start(f, ":", scratch("none"), NULL, &process), -ENOENT);
        assert_int_equal(f->failure.event, EVENT_READ_FAILED);
        assert_null(process);
}

static bool is_there(const char *pid) {
        return kill((pid_t) strtol(pid, NULL, 10), 0) >= 0;
}

/* A process that was killed is there until its parent, by now init, has seen it. */
static void assert_goes(const char *pid) {
        for (unsigned i = 0; i < 60000 && is_there(pid); i++)
                (void) poll(NULL, 0, 1);
        assert_false(is_there(pid));
}

static void test_nothing_outlives_it(void **state) {
        struct Fixture *f = *state;
        _cleanup_free_ char *output = NULL;

        /* Somebody who keeps the pipe open, and would for an hour. */
        assert_int_equal(run_script(f, "tail -f /dev/null & echo $!; exit 5", &output, NULL), 5);
        assert_goes(output);
}

static void test_with_its_last_words_it_is_killed(void **state) {
        struct Fixture *f = *state;
        const char *const arguments[] = { "sh", "-c",
                "trap '' INT TERM; echo first >&2; echo again: why >&2; exec tail -f /dev/null",
                NULL };
        const struct SubprocessCommand command = { .arguments = arguments,
                .last_words = "again: " };
        _cleanup_subprocess_ struct Subprocess *process = NULL;
        _cleanup_free_ char *output = NULL;
        int status;

        assert_int_equal(subprocess_start(&f->operation, &command, &process, &f->failure), 0);
        output = read_all(f, process, NULL);
        assert_int_equal(subprocess_finish(process, &status, &f->failure), 0);
        assert_int_equal(status, 128 + SIGKILL);
        assert_string_equal(subprocess_words(process), "first\nagain: why\n");
}

static void test_cancelled_it_is_asked_to_stop_and_waited_for(void **state) {
        struct Fixture *f = *state;
        _cleanup_subprocess_ struct Subprocess *process = NULL;
        _cleanup_free_ char *text = NULL;
        char pid[32] = "";

        assert_int_equal(start(f,
                                 "trap 'echo cleaned >cleaned; exit' INT; echo $$; "
                                 "while :; do tail -f /dev/null & wait; done",
                                 scratch_directory, NULL, &process),
                0);
        assert_true(subprocess_read(process, pid, sizeof pid - 1, &f->failure) > 0);
        f->stop_at = 1;
        assert_int_equal(subprocess_read(process, pid, sizeof pid - 1, &f->failure), -EINTR);
        assert_int_equal(f->failure.event, EVENT_INTERRUPTED);
        assert_false(is_there(pid));
        text = scratch_read(scratch("cleaned"), NULL);
        assert_non_null(text);
}

static void test_given_up_it_is_stopped(void **state) {
        struct Fixture *f = *state;
        struct Subprocess *process = NULL;
        char pid[32] = "";

        assert_int_equal(start(f, "echo $$; exec tail -f /dev/null", NULL, NULL, &process), 0);
        assert_true(subprocess_read(process, pid, sizeof pid - 1, &f->failure) > 0);
        assert_true(is_there(pid));
        subprocess_free(process);
        assert_false(is_there(pid));
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_all_that_it_writes_is_read),
                ON_ROOT(test_what_is_not_read_does_not_hold_it_up),
                ON_ROOT(test_its_end_is_told),
                ON_ROOT(test_the_end_of_its_words_is_kept),
                ON_ROOT(test_it_has_no_input_no_terminal_and_no_signals_of_ours),
                ON_ROOT(test_environment_and_directory_are_as_given),
                ON_ROOT(test_what_cannot_be_run_is_told_apart),
                ON_ROOT(test_nothing_outlives_it),
                ON_ROOT(test_with_its_last_words_it_is_killed),
                ON_ROOT(test_cancelled_it_is_asked_to_stop_and_waited_for),
                ON_ROOT(test_given_up_it_is_stopped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
