/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A scratch storage root with its locks, and how tests ask for them. Included behind cmocka.h.
 */

#include "lib/base/lock.h"
#include "tests/unit/scratch.h"

static struct Layout *layout;
static struct Clock frozen = { .frozen = true, .now = 1775541600 };

static inline int setup(void **state) {
        int r = scratch_setup(state);

        if (r < 0 || layout_new(scratch_directory, &layout) < 0)
                return -1;
        MUST(make_directories(scratch_directory, layout->locks) >= 0);
        MUST(make_directories(scratch_directory, layout->backups) >= 0);
        return 0;
}

static inline int teardown(void **state) {
        layout = layout_free(layout);
        return scratch_teardown(state);
}

static inline struct Operation waiting(uint64_t seconds) {
        return (struct Operation){
                .layout = layout, .clock = &frozen, .program = "atocore-test", .lock_wait = seconds
        };
}

static inline int acquire(
        const char *path, enum LockMode mode, struct Lock **ret_lock, struct Failure *failure) {
        struct Operation operation = waiting(0);

        return lock_acquire(path, mode, &operation, ret_lock, failure);
}

/* Asserts that nobody gets the lock, and gives the sentence that says why, which the caller
 * frees. */
static inline char *busy_message(const char *path, enum LockMode mode) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Lock *lock = NULL;

        assert_int_equal(acquire(path, mode, &lock, &failure), -EAGAIN);
        assert_null(lock);
        assert_int_equal(failure.event, EVENT_LOCK_BUSY);
        assert_string_equal(failure.path, path);
        assert_non_null(strstr(failure.message, path));
        return STEAL(failure.message);
}

static inline void assert_free(const char *path) {
        struct Lock *lock = NULL;

        assert_int_equal(acquire(path, LOCK_MODE_EXCLUSIVE, &lock, NULL), 0);
        assert_non_null(lock);
        lock_release(lock);
}

static inline void assert_contains(const char *text, const char *part) {
        if (!strstr(text, part))
                fail_msg("\"%s\" does not say \"%s\"", text, part);
}

static inline void assert_no_name_in(const char *path) {
        size_t size = 42;

        free(scratch_read(path, &size));
        assert_int_equal(size, 0);
}
