/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/digest-job.h"
#include "tests/unit/backup-fixture.h"

static int open_scratch(void) {
        int fd = open(scratch_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        MUST(fd >= 0);
        return fd;
}

static int run_on(int dir_fd, const char *path, bool sync, struct DigestJob *ret_job) {
        struct DigestJob *job = ret_job;

        *job = (struct DigestJob) DIGEST_JOB_INIT;
        job->dir_fd = dir_fd;
        job->path = path;
        job->sync = sync;
        digest_job_start(job);
        return digest_job_wait(job);
}

static void assert_digests_what_is_there(void) {
        _cleanup_close_ int fd = open_scratch();
        const size_t size = 3 << 20;
        char *data = malloc(size), expected[DIGEST_HEX_SIZE];
        struct DigestJob job;

        MUST(data);
        for (size_t i = 0; i < size; i++)
                data[i] = (char) (i * 7);
        scratch_write(scratch("file"), data, size);
        MUST(digest_buffer(data, size, expected) == 0);
        for (int sync = 0; sync < 2; sync++) {
                MUST(run_on(fd, "file", sync, &job) == 0);
                MUST(strcmp(job.digest, expected) == 0 && job.size == size);
                MUST(digest_job_wait(&job) == 0); /* again */
        }
        free(data);
}

static void test_it_digests_what_is_there(void **state) {
        (void) state;
        assert_digests_what_is_there();
}

static int digest_without_threads(void *userdata) {
        struct rlimit none = { 0 };

        (void) userdata;
        MUST(chmod(scratch_directory, 0777) >= 0);
        become_nobody();
        MUST(setrlimit(RLIMIT_NPROC, &none) >= 0);
        assert_digests_what_is_there();
        return 0;
}

static void test_without_a_thread_it_is_done_at_once(void **state) {
        (void) state;
        assert_int_equal(child_ask(digest_without_threads, NULL), 0);
}

static void test_what_cannot_be_read_is_told(void **state) {
        _cleanup_close_ int fd = open_scratch();
        struct DigestJob job;

        (void) state;
        assert_int_equal(run_on(fd, "absent", false, &job), -ENOENT);
        MUST(symlink("/etc/passwd", scratch("link")) >= 0);
        assert_int_equal(run_on(fd, "link", false, &job), -ELOOP);
        MUST(mkdir(scratch("directory"), 0750) >= 0);
        assert_int_equal(run_on(fd, "directory", false, &job), -EISDIR);
        MUST(mkfifo(scratch("pipe"), 0640) >= 0); /* not waited for */
        assert_true(run_on(fd, "pipe", false, &job) < 0);
}

static void test_without_a_start_there_is_nothing_to_wait_for(void **state) {
        struct DigestJob job = DIGEST_JOB_INIT;

        (void) state;
        assert_int_equal(digest_job_wait(&job), -EINVAL);
        assert_int_equal(digest_job_wait(&job), -EINVAL);
}

/* A signal sent to the process while only the job's thread could take it. */
static void test_signals_stay_with_who_was_there(void **state) {
        _cleanup_close_ int fd = open_scratch();
        struct DigestJob job = DIGEST_JOB_INIT;
        sigset_t usr1, before, pending;

        (void) state;
        scratch_write(scratch("file"), "x", 1);
        MUST(truncate(scratch("file"), 64 << 20) >= 0);
        (void) sigemptyset(&usr1);
        (void) sigaddset(&usr1, SIGUSR1);
        job.dir_fd = fd;
        job.path = "file";
        digest_job_start(&job);
        (void) sigprocmask(SIG_BLOCK, &usr1, &before);
        MUST(kill(getpid(), SIGUSR1) >= 0); /* would end the program */
        assert_int_equal(digest_job_wait(&job), 0);
        MUST(sigpending(&pending) >= 0);
        assert_true(sigismember(&pending, SIGUSR1));
        MUST(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_it_digests_what_is_there),
                ON_ROOT(test_without_a_thread_it_is_done_at_once),
                ON_ROOT(test_what_cannot_be_read_is_told),
                ON_ROOT(test_without_a_start_there_is_nothing_to_wait_for),
                ON_ROOT(test_signals_stay_with_who_was_there),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
