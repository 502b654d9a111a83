/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/file.h>

#include "tests/unit/lock-fixture.h"

/* Where the file cannot be made or written. */

static void test_full_disk_and_long_names_do_not_fail_the_lock(void **state) {
        struct Operation operation = waiting(0);
        _cleanup_lock_ struct Lock *lock = NULL;
        char program[300];

        (void) state;
        memset(program, 'p', sizeof program);
        program[sizeof program - 1] = '\0';
        operation.program = program;
        assert_int_equal(
                lock_acquire(layout->gate_lock, LOCK_MODE_EXCLUSIVE, &operation, &lock, NULL), 0);
        _cleanup_free_ char *message = busy_message(layout->gate_lock, LOCK_MODE_SHARED);
        assert_contains(message, "another AtoCore process");
        lock = lock_release(lock);

        if (!scratch_mount("64k"))
                return;
        int fd = open(scratch("mount/fill"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        static const char block[4096];
        while (write_all(fd, block, sizeof block) >= 0)
                ;
        (void) close(fd);
        assert_int_equal(acquire(scratch("mount/lock"), LOCK_MODE_EXCLUSIVE, &lock, NULL), 0);
        assert_non_null(lock);
}

static void test_read_only_media_need_no_lock_but_take_the_one_they_have(void **state) {
        _cleanup_layout_ struct Layout *there = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_close_ int other = -1;
        struct Lock *lock = NULL;

        (void) state;
        if (!scratch_mount("64k"))
                skip();
        assert_int_equal(layout_new(scratch("mount"), &there), 0);
        assert_int_equal(make_directories(scratch("mount"), there->snapshots), 0);
        assert_int_equal(mkdir(scratch("mount/data"), 0750), 0);
        scratch_write(scratch("mount/existing"), "", 0);
        scratch_make_read_only();

        const char *const absent[] = { there->backups_lock, there->gate_lock };
        for (size_t i = 0; i < 2; i++) {
                struct Operation operation = waiting(0);
                operation.layout = there;
                lock = (struct Lock *) (void *) &operation;
                assert_int_equal(
                        lock_acquire(absent[i], LOCK_MODE_SHARED, &operation, &lock, NULL), 0);
                assert_null(lock);
                lock_release(lock);
        }
        assert_int_equal(
                acquire(there->backups_lock, LOCK_MODE_EXCLUSIVE, &lock, &failure), -EROFS);
        assert_int_equal(failure.event, EVENT_WRITE_FAILED);
        assert_string_equal(failure.path, there->backups_lock);

        assert_int_equal(acquire(scratch("mount/existing"), LOCK_MODE_SHARED, &lock, NULL), 0);
        assert_non_null(lock);
        other = open(scratch("mount/existing"), O_RDONLY | O_CLOEXEC);
        assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
        lock_release(lock);
        assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
}

struct Attempt {
        const char *path;
        enum LockMode mode;
};

/* 0: a lock, 255: none needed, else the errno value. */
static int acquire_as_nobody(void *userdata) {
        const struct Attempt *attempt = userdata;
        struct Lock *lock = NULL;
        int r;

        become_nobody();
        r = acquire(attempt->path, attempt->mode, &lock, NULL);
        return r < 0 ? -r : lock ? 0 : 255;
}

static void test_reader_without_write_permission_shares_the_lock(void **state) {
        struct Attempt shared = { scratch("lock"), LOCK_MODE_SHARED };
        struct Attempt exclusive = { shared.path, LOCK_MODE_EXCLUSIVE };
        struct Attempt absent = { scratch("absent"), LOCK_MODE_SHARED };
        _cleanup_lock_ struct Lock *held = NULL;

        (void) state;
        if (geteuid() != 0)
                skip(); /* only root can give the file to another */
        assert_int_equal(chmod(scratch_directory, 0755), 0);
        scratch_write(shared.path, "", 0);
        assert_int_equal(chmod(shared.path, 0644), 0);
        assert_int_equal(child_ask(acquire_as_nobody, &shared), 0);
        assert_int_equal(child_ask(acquire_as_nobody, &exclusive), EACCES);
        assert_int_equal(acquire(shared.path, LOCK_MODE_EXCLUSIVE, &held, NULL), 0);
        assert_int_equal(child_ask(acquire_as_nobody, &shared), EAGAIN);
        assert_int_equal(chmod(shared.path, 0600), 0);
        assert_int_equal(child_ask(acquire_as_nobody, &shared), EACCES);
        /* Others can write there, so it is not as on read-only media. */
        assert_int_equal(child_ask(acquire_as_nobody, &absent), EACCES);
}

static void test_link_in_place_of_a_lock_is_not_followed(void **state) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Lock *lock = NULL;

        (void) state;
        assert_int_equal(symlink(scratch("elsewhere"), layout->store_lock), 0);
        assert_int_equal(acquire(layout->store_lock, LOCK_MODE_SHARED, &lock, &failure), -ELOOP);
        assert_int_equal(acquire(layout->store_lock, LOCK_MODE_EXCLUSIVE, &lock, NULL), -ELOOP);
        assert_false(scratch_exists(scratch("elsewhere")));
        assert_int_equal(failure.event, EVENT_WRITE_FAILED);
}

static void test_only_the_directory_of_locks_is_made(void **state) {
        struct Lock *lock = NULL;
        struct stat st;

        (void) state;
        assert_int_equal(rmdir(layout->locks), 0);
        assert_int_equal(acquire(layout->gate_lock, LOCK_MODE_EXCLUSIVE, &lock, NULL), 0);
        lock_release(lock);
        assert_int_equal(stat(layout->locks, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0750);
        assert_int_equal(stat(layout->gate_lock, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0640);

        /* The backup root could be a mount that is not there. */
        assert_int_equal(rmdir(layout->backups), 0);
        assert_int_equal(acquire(layout->backups_lock, LOCK_MODE_SHARED, &lock, NULL), -ENOENT);
        assert_false(scratch_exists(layout->backups));
        assert_int_equal(remove_tree_at(AT_FDCWD, scratch("data")), 0);
        assert_int_equal(acquire(layout->gate_lock, LOCK_MODE_SHARED, &lock, NULL), -ENOENT);
        assert_false(scratch_exists(scratch("data")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_full_disk_and_long_names_do_not_fail_the_lock, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_read_only_media_need_no_lock_but_take_the_one_they_have, setup,
                        teardown),
                cmocka_unit_test_setup_teardown(
                        test_reader_without_write_permission_shares_the_lock, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_link_in_place_of_a_lock_is_not_followed, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_only_the_directory_of_locks_is_made, setup, teardown),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
