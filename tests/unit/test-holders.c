/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lib/backup/holders.h"
#include "tests/unit/backup-fixture.h"

/* Holds the store lock under a name until a signal ends it. */
static void hold_as(int ready, void *userdata) {
        const struct Fixture *f = ((void **) userdata)[0];
        const char *name = ((void **) userdata)[1];
        int fd = open(f->layout->store_lock, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);

        MUST(fd >= 0 && flock(fd, LOCK_SH) >= 0 && prctl(PR_SET_NAME, name) >= 0);
        child_ready(ready);
        for (;;)
                (void) pause();
}

static struct Child start_holder(struct Fixture *f, const char *name) {
        void *userdata[] = { f, (void *) (uintptr_t) name };

        MUST(make_directories(scratch_directory, f->layout->locks) == 0);
        return child_start(hold_as, userdata);
}

static void test_the_store_is_taken_where_nobody_has_it(void **state) {
        struct Fixture *f = *state;
        _cleanup_lock_ struct Lock *lock = NULL;

        MUST(make_directories(scratch_directory, f->layout->locks) == 0);
        assert_success(f, holders_take_store(&f->operation, &lock, &f->failure));
        assert_non_null(lock);
}

static void test_a_daemon_is_ended(void **state) {
        struct Fixture *f = *state;
        struct Child holder = start_holder(f, "atocored");
        _cleanup_lock_ struct Lock *lock = NULL;
        int status;

        f->operation.lock_wait = 60;
        assert_success(f, holders_take_store(&f->operation, &lock, &f->failure));
        status = child_wait(&holder);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void test_what_is_no_daemon_is_named_and_left_alone(void **state) {
        struct Fixture *f = *state;
        struct Child holder = start_holder(f, "somebody");
        _cleanup_lock_ struct Lock *lock = NULL;
        char expected[64];

        (void) snprintf(expected, sizeof expected, "process %d, somebody", (int) holder.pid);
        assert_int_equal(holders_take_store(&f->operation, &lock, &f->failure), -EAGAIN);
        assert_int_equal(f->failure.event, EVENT_LOCK_BUSY);
        assert_non_null(strstr(failure_message(&f->failure), expected));
        assert_null(lock);
        assert_int_equal(waitpid(holder.pid, NULL, WNOHANG), 0);
        child_kill(&holder);
}

static void test_a_signal_ends_the_waiting(void **state) {
        struct Fixture *f = *state;
        struct Child holder = start_holder(f, "somebody");
        _cleanup_lock_ struct Lock *lock = NULL;

        f->operation.lock_wait = 600;
        f->stop_at = 3;
        assert_int_equal(holders_take_store(&f->operation, &lock, &f->failure), -EINTR);
        assert_int_equal(f->failure.event, EVENT_INTERRUPTED);
        child_kill(&holder);
}

/* Foreign users of the database. */

static void open_database(int ready, void *userdata) {
        const struct Fixture *f = userdata;

        MUST(open(f->layout->database, O_RDONLY | O_CLOEXEC) >= 0);
        MUST(prctl(PR_SET_NAME, "reader") >= 0);
        child_ready(ready);
        for (;;)
                (void) pause();
}

static void test_who_has_the_database_open_is_named(void **state) {
        struct Fixture *f = *state;
        struct Child reader;
        char expected[64];

        fixture_fill(f);
        assert_success(f, holders_refuse_foreign(&f->operation, &f->failure));
        reader = child_start(open_database, f);
        (void) snprintf(expected, sizeof expected, "Process %d, reader", (int) reader.pid);
        assert_int_equal(holders_refuse_foreign(&f->operation, &f->failure), -EAGAIN);
        assert_int_equal(f->failure.event, EVENT_LOCK_BUSY);
        assert_non_null(strstr(failure_message(&f->failure), expected));
        child_kill(&reader);
        fixture_forget(f);
        assert_success(f, holders_refuse_foreign(&f->operation, &f->failure));
}

/* As where another user's descriptors cannot be read: the lock is what tells. */
static void lock_database(int ready, void *userdata) {
        const struct Fixture *f = userdata;
        const struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1 };
        int fd = open(f->layout->database, O_RDONLY | O_CLOEXEC);

        MUST(fd >= 0 && fcntl(fd, F_SETLK, &lock) >= 0);
        MUST(prctl(PR_SET_NAME, "locker") >= 0);
        child_ready(ready);
        for (;;)
                (void) pause();
}

static void test_who_has_the_database_locked_is_named(void **state) {
        struct Fixture *f = *state;
        struct Child locker;

        fixture_fill(f);
        locker = child_start(lock_database, f);
        assert_int_equal(holders_refuse_foreign(&f->operation, &f->failure), -EAGAIN);
        assert_non_null(strstr(failure_message(&f->failure), "locker"));
        child_kill(&locker);
}

static void test_a_root_without_a_database_has_no_users(void **state) {
        struct Fixture *f = *state;

        assert_success(f, holders_refuse_foreign(&f->operation, &f->failure));
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
                TEST(test_the_store_is_taken_where_nobody_has_it),
                TEST(test_a_daemon_is_ended),
                TEST(test_what_is_no_daemon_is_named_and_left_alone),
                TEST(test_a_signal_ends_the_waiting),
                TEST(test_who_has_the_database_open_is_named),
                TEST(test_who_has_the_database_locked_is_named),
                TEST(test_a_root_without_a_database_has_no_users),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
