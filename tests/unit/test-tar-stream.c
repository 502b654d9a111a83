/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/tar-stream.h"
#include "lib/base/subprocess.h"
#include "tests/unit/backup-fixture.h"

struct Run {
        struct Fixture *f;
        struct Subprocess *process;
        struct TarContents contents;
        char *problem;
};

static ssize_t read_process(void *userdata, void *buffer, size_t size, struct Failure *failure) {
        return subprocess_read(((struct Run *) userdata)->process, buffer, size, failure);
}

/* What the script, run in the scratch directory, writes to its standard output. */
static int stream(struct Run *run, const char *script, int directory) {
        const char *const arguments[] = { "sh", "-c", script, NULL };
        const struct SubprocessCommand command = { .arguments = arguments,
                .directory = scratch_directory };
        const struct TarSource source = {
                .read = read_process, .userdata = run, .what = "Testing"
        };
        int r;

        MUST(subprocess_start(&run->f->operation, &command, &run->process, &run->f->failure) == 0);
        r = tar_stream_read(&run->f->operation, &source, directory, &run->contents, &run->problem,
                &run->f->failure);
        subprocess_free(run->process);
        return r;
}

static void run_clear(struct Run *run) {
        tar_contents_clear(&run->contents);
        free(run->problem);
}

#define TREE                                                                                       \
        "mkdir -p t/a/b t/empty && echo one >t/a/b/1 && echo two >t/2 && : >t/none && "            \
        "echo größe >t/größe && cd t && find . -type f | sed 's,^\\./,,' | LC_ALL=C sort | "   \
        "xargs sha256sum >../sums && mv ../sums SHA256SUMS && "

static void test_what_came_is_told_as_sha256sums_is_written(void **state) {
        _cleanup_(run_clear) struct Run run = { .f = *state };
        _cleanup_free_ char *sums = NULL;
        char seal[DIGEST_HEX_SIZE];
        size_t size;

        assert_int_equal(stream(&run, TREE "tar --format=pax -cf - *", -1), 0);
        sums = scratch_read(scratch("t/SHA256SUMS"), &size);
        assert_non_null(sums);
        assert_int_equal(run.contents.size, size);
        assert_memory_equal(run.contents.text, sums, size);
        assert_int_equal(digest_buffer(sums, size, seal), 0);
        assert_string_equal(run.contents.seal, seal);
        assert_int_equal(run.contents.files, 5);
        assert_int_equal(scratch_entries(scratch_directory), 2); /* and backups/ of the fixture */
}

static void test_it_is_written_where_that_is_asked(void **state) {
        _cleanup_(run_clear) struct Run run = { .f = *state };
        _cleanup_free_ char *one = NULL, *name = NULL;
        _cleanup_close_ int directory = -1;
        struct stat st;

        MUST(mkdir(scratch("to"), 0750) >= 0);
        directory = open(scratch("to"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(
                stream(&run, TREE "chmod 777 2 && tar --format=pax -cf - *", directory), 0);
        one = scratch_read(scratch("to/a/b/1"), NULL);
        assert_string_equal(one, "one\n");
        name = scratch_read(scratch("to/größe"), NULL);
        assert_string_equal(name, "größe\n");
        assert_true(scratch_exists(scratch("to/empty")));
        assert_true(stat(scratch("to/2"), &st) >= 0 && (st.st_mode & 07777) == 0640);
}

static void test_what_is_no_plain_tree_is_refused(void **state) {
        static const char *const scripts[] = {
                "echo x >f && tar -Pcf - $PWD/f",
                "mkdir d && echo x >f && cd d && tar -Pcf - ../f",
                "ln -s /etc/passwd l && tar -cf - l",
                "echo x >f && ln f g && tar -cf - f g",
                "mkfifo p && tar -cf - p",
                "echo x >f && tar -cf - f f --hard-dereference",
                "echo x >SHA256SUMS && tar --hard-dereference -cf - SHA256SUMS SHA256SUMS",
                "mkdir d && tar -cf - d", /* nothing in it */
                "echo this is no tar",
                "head -c 3000 /dev/urandom >f && tar -cf - f | head -c 2000",
                ":",
        };

        for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
                _cleanup_free_ char *script = NULL;

                for (int write = 0; write < 2; write++) {
                        _cleanup_(run_clear) struct Run run = { .f = *state };
                        _cleanup_close_ int directory = -1;

                        free(script);
                        MUST(asprintf(&script, "rm -rf w to && mkdir w to && cd w && %s",
                                     scripts[i]) > 0);
                        if (write) {
                                MUST(mkdir(scratch("target"), 0750) >= 0);
                                directory =
                                        open(scratch("target"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                        }
                        assert_int_equal(stream(&run, script, directory), -EBADMSG);
                        assert_false(failure_is_set(&run.f->failure));
                        assert_non_null(run.problem);
                        MUST(remove_tree_at(AT_FDCWD, scratch("target")) == 0);
                }
        }
}

static void test_a_source_that_fails_is_its_failure(void **state) {
        struct Fixture *f = *state;
        _cleanup_(run_clear) struct Run run = { .f = f };

        f->stop_at = 3;
        assert_int_equal(stream(&run, "head -c 3000000 /dev/zero >f && tar -cf - f", -1), -EINTR);
        assert_int_equal(f->failure.event, EVENT_INTERRUPTED);
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_what_came_is_told_as_sha256sums_is_written),
                ON_ROOT(test_it_is_written_where_that_is_asked),
                ON_ROOT(test_what_is_no_plain_tree_is_refused),
                ON_ROOT(test_a_source_that_fails_is_its_failure),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
