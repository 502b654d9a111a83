/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/file.h>

#include "tests/unit/lock-fixture.h"

/* Other processes. */

struct Hold {
        const char *path;
        enum LockMode mode;
};

static void hold(int ready, void *userdata) {
        const struct Hold *what = userdata;
        struct Lock *lock = NULL;

        MUST(acquire(what->path, what->mode, &lock, NULL) >= 0 && lock);
        child_ready(ready);
        for (;;)
                (void) pause();
}

static void test_holder_and_deadline_are_named(void **state) {
        struct Hold what = { layout->backups_lock, LOCK_MODE_EXCLUSIVE };
        struct Child holder = child_start(hold, &what);
        _cleanup_free_ char *message = NULL, *shared = NULL;
        char expected[128];

        (void) state;
        message = busy_message(what.path, LOCK_MODE_EXCLUSIVE);
        shared = busy_message(what.path, LOCK_MODE_SHARED);
        child_kill(&holder);
        (void) snprintf(expected, sizeof expected,
                "is held by %ld atocore-test since 2026-04-07T06:00:00Z; gave up after 0 s",
                (long) holder.pid);
        assert_contains(message, expected);
        assert_string_equal(shared, message);
}

static void test_waiting_ends_at_the_deadline(void **state) {
        struct Hold what = { layout->backups_lock, LOCK_MODE_EXCLUSIVE };
        struct Child holder = child_start(hold, &what);
        struct Operation operation = waiting(1);
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Lock *lock = NULL;
        uint64_t before = monotonic_ms();
        int r;

        (void) state;
        r = lock_acquire(what.path, LOCK_MODE_EXCLUSIVE, &operation, &lock, &failure);
        child_kill(&holder);
        assert_int_equal(r, -EAGAIN);
        assert_true(monotonic_ms() - before >= 1000);
        assert_contains(failure.message, "gave up after 1 s");
}

static void test_lock_of_a_killed_process_is_free_at_once(void **state) {
        struct Hold what = { layout->backups_lock, LOCK_MODE_EXCLUSIVE };
        struct Child holder = child_start(hold, &what);
        _cleanup_lock_ struct Lock *lock = NULL;
        size_t size = 0;

        (void) state;
        child_kill(&holder);
        free(scratch_read(what.path, &size));
        assert_true(size > 0); /* it left its name */
        assert_int_equal(acquire(what.path, LOCK_MODE_EXCLUSIVE, &lock, NULL), 0);
}

/* What happens while a process waits: the library asks whether it is cancelled each time before it
 * looks again. */
struct Scene {
        unsigned asked;
        unsigned act_at;
        void (*act)(struct Scene *scene);
        struct Child holder;
        const char *path;
        struct Lock *lock;
        int held;
        bool cancel;
};

static bool play(void *userdata) {
        struct Scene *scene = userdata;

        if (++scene->asked == scene->act_at && scene->act)
                scene->act(scene);
        return scene->cancel && scene->asked >= scene->act_at;
}

static int wait_in_scene(
        struct Scene *scene, uint64_t seconds, struct Lock **ret_lock, struct Failure *failure) {
        struct Operation operation = waiting(seconds);

        operation.cancelled = play;
        operation.userdata = scene;
        return lock_acquire(scene->path, LOCK_MODE_EXCLUSIVE, &operation, ret_lock, failure);
}

static void kill_holder(struct Scene *scene) {
        child_kill(&scene->holder);
}

static void test_waiter_gets_the_lock_when_the_holder_ends(void **state) {
        static const enum LockMode modes[] = { LOCK_MODE_SHARED, LOCK_MODE_EXCLUSIVE };

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                struct Hold what = { layout->backups_lock, modes[i] };
                struct Scene scene = { .act_at = 3,
                        .act = kill_holder,
                        .path = what.path,
                        .holder = child_start(hold, &what) };
                _cleanup_lock_ struct Lock *lock = NULL;

                assert_int_equal(wait_in_scene(&scene, 600, &lock, NULL), 0);
                assert_non_null(lock);
                assert_true(scene.asked >= 3);
        }
}

static void test_cancelled_waiter_ends_without_the_lock(void **state) {
        /* The second would be long ago if its milliseconds had run over. */
        static const uint64_t waits[] = { 600, UINT64_MAX };

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                _cleanup_lock_ struct Lock *held = NULL;
                _cleanup_failure_ struct Failure failure = { 0 };
                struct Scene scene = { .act_at = 3, .cancel = true, .path = layout->backups_lock };
                struct Lock *lock = NULL;

                assert_int_equal(acquire(scene.path, LOCK_MODE_EXCLUSIVE, &held, NULL), 0);
                assert_int_equal(wait_in_scene(&scene, waits[i], &lock, &failure), -EINTR);
                assert_int_equal(failure.event, EVENT_INTERRUPTED);
                assert_int_equal(scene.asked, 3);
                assert_null(lock);
        }
}

static void remove_and_release(struct Scene *scene) {
        MUST(unlink(scene->path) >= 0);
        scene->lock = lock_release(scene->lock);
}

/* An operator takes a lock file for stale. */
static void test_waiter_on_a_removed_file_locks_the_new_one(void **state) {
        struct Scene scene = {
                .act_at = 2, .act = remove_and_release, .path = layout->backups_lock
        };
        _cleanup_lock_ struct Lock *lock = NULL;
        char expected[64];

        (void) state;
        assert_int_equal(acquire(scene.path, LOCK_MODE_EXCLUSIVE, &scene.lock, NULL), 0);
        assert_int_equal(wait_in_scene(&scene, 600, &lock, NULL), 0);
        _cleanup_free_ char *message = busy_message(scene.path, LOCK_MODE_EXCLUSIVE);
        (void) snprintf(expected, sizeof expected, "is held by %ld atocore-test", (long) getpid());
        assert_contains(message, expected);
}

static void replace_and_release(struct Scene *scene) {
        char name[PATH_MAX];
        int fd;

        (void) snprintf(name, sizeof name, "%s.new", scene->path);
        fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        MUST(fd >= 0 && flock(fd, LOCK_EX) >= 0 && rename(name, scene->path) >= 0);
        (void) close(scene->held);
        scene->held = fd;
        scene->act_at = scene->asked + 1; /* and again */
}

static void test_lock_that_is_always_replaced_is_given_up(void **state) {
        struct Scene scene = {
                .act_at = 1, .act = replace_and_release, .path = layout->backups_lock, .held = -1
        };
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Lock *lock = NULL;
        int r;

        (void) state;
        scene.held = open(scene.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(flock(scene.held, LOCK_EX), 0);
        r = wait_in_scene(&scene, 600, &lock, &failure);
        (void) close(scene.held);
        assert_int_equal(r, -ESTALE);
        assert_int_equal(failure.event, EVENT_LOCK_FAILED);
        assert_string_equal(failure.path, scene.path);
}

/* Shared and exclusive. */

static void test_shared_holders_tolerate_each_other_and_nobody_else(void **state) {
        struct Lock *one = NULL, *two = NULL;
        _cleanup_free_ char *message = NULL;

        (void) state;
        assert_int_equal(acquire(layout->backups_lock, LOCK_MODE_SHARED, &one, NULL), 0);
        assert_int_equal(acquire(layout->backups_lock, LOCK_MODE_SHARED, &two, NULL), 0);
        one = lock_release(one);
        message = busy_message(layout->backups_lock, LOCK_MODE_EXCLUSIVE);
        assert_contains(message, "another AtoCore process (lslocks shows which)");
        two = lock_release(two);
        assert_free(layout->backups_lock);
}

static void test_name_is_gone_with_the_lock(void **state) {
        struct Lock *lock = NULL;
        _cleanup_free_ char *name = NULL;
        char expected[128];

        (void) state;
        assert_int_equal(acquire(layout->gate_lock, LOCK_MODE_EXCLUSIVE, &lock, NULL), 0);
        name = scratch_read(layout->gate_lock, NULL);
        (void) snprintf(expected, sizeof expected, "%ld atocore-test since 2026-04-07T06:00:00Z\n",
                (long) getpid());
        assert_string_equal(name, expected);
        lock_release(lock);
        assert_no_name_in(layout->gate_lock);

        assert_int_equal(acquire(layout->gate_lock, LOCK_MODE_SHARED, &lock, NULL), 0);
        assert_no_name_in(layout->gate_lock);
        lock_release(lock);
}

static void end_at_once(int ready, void *userdata) {
        (void) userdata;
        child_ready(ready);
}

/* The name that a process which died has left, with no newline and longer than the new one. */
static void leave_stale_name(const char *path) {
        struct Child dead = child_start(end_at_once, NULL);
        char name[200];

        MUST(child_wait(&dead) == 0);
        (void) snprintf(name, sizeof name, "%ld atocore-ghost since 2020-01-01T00:00:00Z%0100d",
                (long) dead.pid, 0);
        scratch_write(path, name, strlen(name));
}

static void test_stale_name_accuses_nobody(void **state) {
        _cleanup_close_ int reader = -1;
        _cleanup_free_ char *message = NULL, *shared = NULL, *name = NULL;
        _cleanup_lock_ struct Lock *lock = NULL;
        char expected[128];

        (void) state;
        leave_stale_name(layout->backups_lock);
        assert_free(layout->backups_lock);
        assert_no_name_in(layout->backups_lock);

        /* A holder that can only read cannot remove it. */
        leave_stale_name(layout->backups_lock);
        reader = open(layout->backups_lock, O_RDONLY | O_CLOEXEC);
        assert_int_equal(flock(reader, LOCK_SH), 0);
        message = busy_message(layout->backups_lock, LOCK_MODE_EXCLUSIVE);
        assert_contains(message, "is held by another AtoCore process, no longer by ");
        assert_contains(message, "atocore-ghost");

        /* One that can does. */
        assert_int_equal(acquire(layout->backups_lock, LOCK_MODE_SHARED, &lock, NULL), 0);
        assert_no_name_in(layout->backups_lock);
        shared = busy_message(layout->backups_lock, LOCK_MODE_EXCLUSIVE);
        assert_null(strstr(shared, "atocore-ghost"));
        lock = lock_release(lock);
        assert_int_equal(flock(reader, LOCK_UN), 0);

        /* The next exclusive one writes its own, whole. */
        leave_stale_name(layout->backups_lock);
        assert_int_equal(acquire(layout->backups_lock, LOCK_MODE_EXCLUSIVE, &lock, NULL), 0);
        name = scratch_read(layout->backups_lock, NULL);
        (void) snprintf(expected, sizeof expected, "%ld atocore-test since 2026-04-07T06:00:00Z\n",
                (long) getpid());
        assert_string_equal(name, expected);
}

struct Legacy {
        const char *path;
        int orders; /* read end: end of file is the order to end */
        int keep;   /* write end, closed in the children */
};

/* Takes the lock, has a child that keeps the descriptor, and ends. */
static void bequeath(int ready, void *userdata) {
        const struct Legacy *legacy = userdata;
        struct Lock *lock = NULL;
        char byte;

        (void) close(legacy->keep);
        MUST(acquire(legacy->path, LOCK_MODE_EXCLUSIVE, &lock, NULL) >= 0);
        if (fork() == 0) {
                MUST(read(legacy->orders, &byte, 1) == 0);
                _exit(0);
        }
        child_ready(ready);
}

static void test_child_that_keeps_the_descriptor_keeps_the_lock(void **state) {
        struct Operation operation = waiting(600);
        struct Legacy legacy = { .path = layout->backups_lock };
        _cleanup_lock_ struct Lock *lock = NULL;
        _cleanup_free_ char *message = NULL;
        char expected[64];
        struct Child child;
        int fds[2];

        (void) state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        legacy.orders = fds[0];
        legacy.keep = fds[1];
        child = child_start(bequeath, &legacy);
        assert_int_equal(child_wait(&child), 0);

        message = busy_message(legacy.path, LOCK_MODE_EXCLUSIVE);
        (void) snprintf(
                expected, sizeof expected, "no longer by %ld atocore-test", (long) child.pid);
        assert_contains(message, expected);
        (void) close(fds[1]);
        assert_int_equal(
                lock_acquire(legacy.path, LOCK_MODE_EXCLUSIVE, &operation, &lock, NULL), 0);
        (void) close(fds[0]);
}

/* The gate. */

static void test_store_lock_is_taken_through_the_gate(void **state) {
        struct Operation operation = waiting(0);
        struct Lock *restore = NULL, *store = NULL;
        struct Failure failure = { 0 };

        (void) state;
        assert_int_equal(acquire(layout->gate_lock, LOCK_MODE_EXCLUSIVE, &restore, NULL), 0);
        assert_int_equal(lock_acquire_store(&operation, &store, &failure), -EAGAIN);
        assert_string_equal(failure.path, layout->gate_lock);
        failure_clear(&failure);
        restore = lock_release(restore);

        assert_int_equal(lock_acquire_store(&operation, &store, NULL), 0);
        assert_non_null(store);
        assert_free(layout->gate_lock); /* passed through, not kept */
        free(busy_message(layout->store_lock, LOCK_MODE_EXCLUSIVE));
        store = lock_release(store);

        assert_int_equal(acquire(layout->store_lock, LOCK_MODE_EXCLUSIVE, &restore, NULL), 0);
        assert_int_equal(lock_acquire_store(&operation, &store, &failure), -EAGAIN);
        assert_string_equal(failure.path, layout->store_lock);
        failure_clear(&failure);
        assert_free(layout->gate_lock);
        lock_release(restore);
}

/* Staging directories. */

static void test_directory_is_locked_as_long_as_it_is_open(void **state) {
        int maker, cleaner;

        (void) state;
        maker = open(scratch_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleaner = open(scratch_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(maker >= 0 && cleaner >= 0);
        assert_int_equal(lock_directory(maker), 0);
        assert_int_equal(lock_directory(maker), 0);
        assert_int_equal(lock_directory(cleaner), -EAGAIN);
        (void) close(maker);
        assert_int_equal(lock_directory(cleaner), 0);
        (void) close(cleaner);
        assert_int_equal(lock_directory(-1), -EBADF);
}

static void test_releasing_nothing_is_fine(void **state) {
        (void) state;
        assert_null(lock_release(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_holder_and_deadline_are_named, setup, teardown),
                cmocka_unit_test_setup_teardown(test_waiting_ends_at_the_deadline, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_lock_of_a_killed_process_is_free_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_waiter_gets_the_lock_when_the_holder_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_cancelled_waiter_ends_without_the_lock, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_waiter_on_a_removed_file_locks_the_new_one, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_shared_holders_tolerate_each_other_and_nobody_else, setup, teardown),
                cmocka_unit_test_setup_teardown(test_name_is_gone_with_the_lock, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stale_name_accuses_nobody, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_child_that_keeps_the_descriptor_keeps_the_lock, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_store_lock_is_taken_through_the_gate, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_directory_is_locked_as_long_as_it_is_open, setup, teardown),
                cmocka_unit_test_setup_teardown(test_releasing_nothing_is_fine, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_lock_that_is_always_replaced_is_given_up, setup, teardown),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
