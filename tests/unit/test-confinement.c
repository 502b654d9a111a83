/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/confinement.h"

#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/subprocess.h"
#include "tests/unit/backup-fixture.h"

static const struct ConfinementLimits limits = { .memory = UINT64_C(256) << 20, .cpu_seconds = 1 };

struct Confined {
        const char *arguments[5];
        const char *directory;
        int input;
        uint64_t deadline;
};

/* What a confined program wrote, up to some bytes, and its status; -ETIME: it had no time left. */
static int run(struct Fixture *f, const struct Confined *what, char ret_output[256]) {
        static char *const environment[] = { (char *) "PATH=/usr/bin:/bin", NULL };
        _cleanup_confinement_ struct Confinement *confinement = NULL;
        _cleanup_subprocess_ struct Subprocess *child = NULL;
        struct SubprocessCommand command = {
                .arguments = what->arguments,
                .environment = environment,
                .directory = what->directory,
                .input = what->input,
                .deadline = what->deadline,
        };
        size_t size = 0;
        ssize_t n;
        int status;

        assert_int_equal(confinement_new(what->arguments[0], &limits, &confinement), 0);
        command.confinement = confinement;
        assert_success(f, subprocess_start(&f->operation, &command, &child, &f->failure));
        while ((n = subprocess_read(child, ret_output + size, 255 - size, &f->failure)) > 0)
                size += (size_t) n;
        ret_output[size] = '\0';
        if (n < 0)
                return (int) n;
        assert_success(f, subprocess_finish(child, &status, &f->failure));
        return status;
}

static int shell(struct Fixture *f, const char *script, char ret_output[256]) {
        const struct Confined what = {
                .arguments = { "/bin/sh", "-c", script },
                .directory = scratch_directory,
        };

        return run(f, &what, ret_output);
}

static int python(struct Fixture *f, const char *script) {
        const struct Confined what = { .arguments = { "/usr/bin/python3", "-I", "-c", script } };
        char output[256];

        return run(f, &what, output);
}

static bool has_landlock(void) {
        return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

static void test_it_reads_and_computes_and_writes(void **state) {
        struct Fixture *f = *state;
        char output[256];

        assert_int_equal(shell(f, "echo $((6 * 7)); exit 3", output), 3);
        assert_string_equal(output, "42\n");
}

static void test_its_environment_is_what_it_is_given(void **state) {
        struct Fixture *f = *state;
        char output[256];

        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x", 1), 0);
        assert_int_equal(shell(f, "echo $PATH; echo ${CREDENTIALS_DIRECTORY-unset}", output), 0);
        assert_string_equal(output, "/usr/bin:/bin\nunset\n");
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void test_it_makes_and_changes_no_file(void **state) {
        struct Fixture *f = *state;
        char output[256];

        scratch_write(scratch("kept"), "kept", 4);
        assert_int_not_equal(shell(f, ": >new", output), 0);
        assert_int_not_equal(shell(f, "echo more >>kept", output), 0);
        assert_int_not_equal(shell(f, "exec rm kept", output), 0);
        assert_int_not_equal(shell(f, "exec mv kept new", output), 0);
        assert_int_not_equal(shell(f, "exec chmod 777 kept", output), 0);
        assert_int_equal(access(scratch("new"), F_OK), -1);
        _cleanup_free_ char *text = scratch_read(scratch("kept"), NULL);
        assert_string_equal(text, "kept");
}

static void test_it_makes_no_process_and_signals_none(void **state) {
        struct Fixture *f = *state;
        char script[64], output[256];

        assert_int_not_equal(shell(f, "(exit 0)", output), 0);
        (void) snprintf(script, sizeof script, "kill -0 %d", (int) getpid());
        assert_int_not_equal(shell(f, script, output), 0);
}

static void test_it_has_no_network(void **state) {
        struct Fixture *f = *state;

        assert_int_equal(python(f,
                                 "import errno, socket\n"
                                 "for family in socket.AF_INET, socket.AF_UNIX:\n"
                                 "    try:\n"
                                 "        socket.socket(family)\n"
                                 "        raise SystemExit(4)\n"
                                 "    except OSError as error:\n"
                                 "        assert error.errno == errno.ENOSYS\n"
                                 "raise SystemExit(7)\n"),
                7);
}

static void test_it_has_threads(void **state) {
        struct Fixture *f = *state;

        assert_int_equal(python(f,
                                 "import threading\n"
                                 "thread = threading.Thread(target=print)\n"
                                 "thread.start()\n"
                                 "thread.join()\n"
                                 "raise SystemExit(7)\n"),
                7);
}

static void test_memory_is_limited(void **state) {
        struct Fixture *f = *state;

        assert_int_equal(python(f,
                                 "try:\n"
                                 "    bytearray(300 << 20)\n"
                                 "except MemoryError:\n"
                                 "    raise SystemExit(7)\n"),
                7);
}

static void test_processor_time_is_limited(void **state) {
        struct Fixture *f = *state;
        char output[256];

        assert_int_equal(shell(f, "while :; do :; done", output), 128 + SIGXCPU);
}

static void test_past_its_deadline_it_is_killed(void **state) {
        struct Fixture *f = *state;
        const struct Confined what = {
                .arguments = { "/bin/sh", "-c", "trap '' INT TERM; while :; do read x; done" },
                .deadline = 1,
        };
        char output[256];

        assert_int_equal(run(f, &what, output), -ETIME);
        assert_false(failure_is_set(&f->failure));
}

static void test_it_reads_what_it_is_given_and_nothing_else(void **state) {
        struct Fixture *f = *state;
        char output[256];

        if (!has_landlock())
                skip();
        scratch_write(scratch("secret"), "secret\n", 7);
        assert_int_not_equal(shell(f, "exec cat secret", output), 0);
        assert_string_equal(output, "");

        _cleanup_close_ int fd = open(scratch("secret"), O_RDONLY | O_CLOEXEC);
        const struct Confined what = {
                .arguments = { "/bin/sh", "-c", "read -r line; echo $line" },
                .input = fd,
        };
        assert_true(fd > 0);
        assert_int_equal(run(f, &what, output), 0);
        assert_string_equal(output, "secret\n");
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_it_reads_and_computes_and_writes),
                ON_ROOT(test_its_environment_is_what_it_is_given),
                ON_ROOT(test_it_makes_and_changes_no_file),
                ON_ROOT(test_it_makes_no_process_and_signals_none),
                ON_ROOT(test_it_has_no_network),
                ON_ROOT(test_it_has_threads),
                ON_ROOT(test_memory_is_limited),
                ON_ROOT(test_processor_time_is_limited),
                ON_ROOT(test_past_its_deadline_it_is_killed),
                ON_ROOT(test_it_reads_what_it_is_given_and_nothing_else),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
