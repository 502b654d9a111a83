/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/file.h>

#include "tests/unit/lock-fixture.h"

/* As a restore holds them. */
static struct Lock *gate, *store;

static int setup_held(void **state) {
        int r = setup(state);

        if (r < 0)
                return r;
        MUST(acquire(layout->gate_lock, LOCK_MODE_EXCLUSIVE, &gate, NULL) >= 0);
        MUST(acquire(layout->store_lock, LOCK_MODE_EXCLUSIVE, &store, NULL) >= 0);
        return 0;
}

static int teardown_held(void **state) {
        MUST(unsetenv(LOCK_STORE_FD_VARIABLE) >= 0);
        store = lock_release(store);
        gate = lock_release(gate);
        return teardown(state);
}

static void pass_on(int fd) {
        char number[16];

        (void) snprintf(number, sizeof number, "%d", fd);
        MUST(setenv(LOCK_STORE_FD_VARIABLE, number, 1) >= 0);
}

static int acquire_store(struct Lock **ret_lock, struct Failure *failure) {
        struct Operation operation = waiting(0);

        return lock_acquire_store(&operation, ret_lock, failure);
}

static void assert_refused(const char *expected) {
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_free_ char *message = NULL;
        struct Lock *lock = NULL;

        assert_true(acquire_store(&lock, &failure) < 0);
        assert_null(lock);
        assert_int_equal(failure.event, EVENT_LOCK_FAILED);
        assert_string_equal(failure.path, layout->store_lock);
        assert_contains(failure.message, expected);
        assert_contains(failure.message, LOCK_STORE_FD_VARIABLE);
        message = busy_message(layout->store_lock, LOCK_MODE_SHARED); /* still the parent's */
}

static void test_inherited_lock_leaves_the_parents_as_it_is(void **state) {
        _cleanup_free_ char *before = scratch_read(layout->store_lock, NULL);
        _cleanup_free_ char *during = NULL, *after = NULL, *busy = NULL;
        struct Lock *one = NULL, *two = NULL;

        (void) state;
        assert_true(before[0] != '\0');
        pass_on(lock_fd(store));
        assert_int_equal(acquire_store(&one, NULL), 0);
        assert_int_equal(acquire_store(&two, NULL), 0); /* each connection takes one */
        during = scratch_read(layout->store_lock, NULL);
        assert_string_equal(during, before);

        assert_true(lock_fd(one) != lock_fd(store));
        assert_true((fcntl(lock_fd(one), F_GETFD) & FD_CLOEXEC) != 0);
        one = lock_release(one);
        two = lock_release(two);
        after = scratch_read(layout->store_lock, NULL);
        assert_string_equal(after, before);

        /* A lock that had been converted to a shared one would let this through. */
        busy = busy_message(layout->store_lock, LOCK_MODE_SHARED);
        assert_contains(busy, "atocore-test since");
        assert_true(fcntl(lock_fd(store), F_GETFD) >= 0);
}

/* The child is another process, and its parent's locks are what keeps everybody else out. */
static int child_acquires(void *userdata) {
        struct Lock *lock = NULL;
        int r;

        (void) userdata;
        r = acquire_store(&lock, NULL);
        lock_release(lock);
        return r < 0 ? 1 : 0;
}

static void test_child_gets_in_only_with_the_lock(void **state) {
        _cleanup_free_ char *before = scratch_read(layout->store_lock, NULL);
        _cleanup_free_ char *after = NULL, *busy = NULL;

        (void) state;
        assert_int_equal(child_ask(child_acquires, NULL), 1);
        pass_on(lock_fd(store));
        assert_int_equal(child_ask(child_acquires, NULL), 0);
        after = scratch_read(layout->store_lock, NULL);
        assert_string_equal(after, before);
        busy = busy_message(layout->store_lock, LOCK_MODE_SHARED);
}

static void test_inherited_lock_outlives_the_parents_descriptor(void **state) {
        _cleanup_free_ char *busy = NULL;
        struct Lock *lock = NULL;

        (void) state;
        pass_on(lock_fd(store));
        assert_int_equal(acquire_store(&lock, NULL), 0);
        store = lock_release(store);
        busy = busy_message(layout->store_lock, LOCK_MODE_SHARED);
        lock_release(lock);
        assert_free(layout->store_lock);
}

static void test_what_is_no_descriptor_is_refused(void **state) {
        static const char *const numbers[] = { "", "-1", "x", "3 ", "+3", "4294967296", "3.0" };

        (void) state;
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
                MUST(setenv(LOCK_STORE_FD_VARIABLE, numbers[i], 1) >= 0);
                assert_refused("no number of a descriptor");
        }
        pass_on(1 << 20); /* open in no process */
        assert_refused("Bad file descriptor");
}

static void test_another_file_is_refused(void **state) {
        _cleanup_close_ int replaced = -1;

        (void) state;
        pass_on(lock_fd(gate));
        assert_refused("is not the lock file");

        /* The file that has the name now is what others lock. */
        replaced = open(layout->store_lock, O_RDWR | O_CLOEXEC);
        assert_true(replaced >= 0);
        assert_int_equal(rename(layout->store_lock, scratch("aside")), 0);
        scratch_write(layout->store_lock, "", 0);
        store = lock_release(store);
        assert_int_equal(acquire(layout->store_lock, LOCK_MODE_EXCLUSIVE, &store, NULL), 0);
        pass_on(replaced);
        assert_refused("is not the lock file");
}

static void test_only_the_store_lock_is_inherited(void **state) {
        struct Lock *lock = NULL;

        (void) state;
        pass_on(lock_fd(store));
        free(busy_message(layout->gate_lock, LOCK_MODE_SHARED));
        free(busy_message(layout->store_lock, LOCK_MODE_SHARED));
        assert_int_equal(acquire(layout->backups_lock, LOCK_MODE_EXCLUSIVE, &lock, NULL), 0);
        lock_release(lock);
}

static void test_no_lock_has_no_descriptor(void **state) {
        (void) state;
        assert_int_equal(lock_fd(NULL), -1);
}

#define UNDER_A_RESTORE(test) cmocka_unit_test_setup_teardown(test, setup_held, teardown_held)

int main(void) {
        const struct CMUnitTest tests[] = {
                UNDER_A_RESTORE(test_inherited_lock_leaves_the_parents_as_it_is),
                UNDER_A_RESTORE(test_child_gets_in_only_with_the_lock),
                UNDER_A_RESTORE(test_inherited_lock_outlives_the_parents_descriptor),
                UNDER_A_RESTORE(test_what_is_no_descriptor_is_refused),
                UNDER_A_RESTORE(test_another_file_is_refused),
                UNDER_A_RESTORE(test_only_the_store_lock_is_inherited),
                cmocka_unit_test(test_no_lock_has_no_descriptor),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
