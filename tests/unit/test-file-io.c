/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/file-io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/time.h>

#include "tests/unit/scratch.h"

static void assert_mode_is(const char *path, mode_t mode) {
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, mode);
}

/* Writing. */

/* The write end is full and nobody reads until so many signals came. */
#define SIGNALS 20

static volatile sig_atomic_t alarms;
static int order_to_read;

static void on_alarm(int signal) {
        (void) signal;
        if (++alarms == SIGNALS)
                (void) !write(order_to_read, "r", 1);
}

struct Reader {
        int data[2], orders[2];
};

static void read_when_told(int ready, void *userdata) {
        const struct Reader *reader = userdata;
        _cleanup_digest_ struct Digest *digest = NULL;
        char hex[DIGEST_HEX_SIZE], buffer[777];
        ssize_t n;

        (void) close(reader->data[1]);
        MUST(digest_new(&digest) >= 0);
        child_ready(ready);
        MUST(read(reader->orders[0], buffer, 1) == 1);
        while ((n = read(reader->data[0], buffer, sizeof buffer)) > 0)
                MUST(digest_update(digest, buffer, (size_t) n) >= 0);
        MUST(n == 0 && digest_finish(digest, hex) >= 0);
        MUST(write(ready, hex, sizeof hex) == (ssize_t) sizeof hex);
}

static void test_signals_and_short_counts_lose_no_byte(void **state) {
        const struct sigaction action = { .sa_handler = on_alarm }; /* no SA_RESTART */
        const struct itimerval soon = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };
        _cleanup_free_ char *data = scratch_pattern(4 * MIB);
        char expected[DIGEST_HEX_SIZE], found[DIGEST_HEX_SIZE] = "";
        struct Reader reader;
        struct sigaction before;
        struct Child child;
        int r;

        (void) state;
        assert_int_equal(digest_buffer(data, 4 * MIB, expected), 0);
        assert_int_equal(pipe2(reader.data, O_CLOEXEC), 0);
        assert_int_equal(pipe2(reader.orders, O_CLOEXEC), 0);
        order_to_read = reader.orders[1];
        child = child_start(read_when_told, &reader);
        (void) close(reader.data[0]);
        assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
        r = write_all(reader.data[1], data, 4 * MIB);
        (void) setitimer(ITIMER_REAL, &never, NULL);
        (void) sigaction(SIGALRM, &before, NULL);
        (void) close(reader.data[1]);
        (void) close(reader.orders[1]);
        assert_int_equal(r, 0);
        assert_true(alarms >= SIGNALS);
        assert_int_equal(read(child.ready, found, sizeof found), sizeof found);
        assert_int_equal(child_wait(&child), 0);
        (void) close(reader.orders[0]);
        assert_string_equal(found, expected);
}

static void test_full_device_is_reported(void **state) {
        _cleanup_close_ int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

        (void) state;
        assert_true(fd >= 0);
        assert_int_equal(write_all(fd, "x", 1), -ENOSPC);
        assert_int_equal(write_all(fd, "", 0), 0);
}

static void test_new_file_is_whole_or_absent(void **state) {
        _cleanup_free_ char *data = scratch_pattern(MIB);
        int r;

        (void) state;
        limit_file_size(MIB / 2);
        r = write_new_file_at(AT_FDCWD, scratch("limited"), data, MIB);
        limit_file_size(UINT64_MAX);
        assert_int_equal(r, -EFBIG);
        assert_false(scratch_exists(scratch("limited")));

        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("none/x"), "x", 1), -ENOENT);
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("whole"), data, MIB), 0);
        assert_file_is(scratch("whole"), data, MIB);
        assert_int_equal(scratch_entries(scratch_directory), 1);

        if (!scratch_mount("64k"))
                return;
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("mount/x"), data, MIB), -ENOSPC);
        assert_int_equal(scratch_entries(scratch("mount")), 0);
        scratch_make_read_only();
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("mount/x"), "x", 1), -EROFS);
}

static void test_new_file_replaces_nothing_and_follows_no_link(void **state) {
        (void) state;
        scratch_write(scratch("old"), "old", 3);
        assert_int_equal(mkdir(scratch("directory"), 0700), 0);
        assert_int_equal(symlink(scratch("elsewhere"), scratch("link")), 0);
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("old"), "new", 3), -EEXIST);
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("directory"), "new", 3), -EEXIST);
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("link"), "new", 3), -EEXIST);
        assert_file_is(scratch("old"), "old", 3);
        assert_false(scratch_exists(scratch("elsewhere")));
}

static void test_files_and_directories_are_not_for_others(void **state) {
        mode_t mask = umask(0);

        (void) state;
        assert_int_equal(write_new_file_at(AT_FDCWD, scratch("new"), "", 0), 0);
        scratch_write(scratch("replaced"), "", 0);
        assert_int_equal(chmod(scratch("replaced"), 0666), 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("replaced"), "x", 1), 0);
        assert_int_equal(make_directories(scratch_directory, scratch("a/b")), 0);
        (void) umask(mask);
        assert_mode_is(scratch("new"), 0640);
        assert_mode_is(scratch("replaced"), 0640);
        assert_mode_is(scratch("a"), 0750);
        assert_mode_is(scratch("a/b"), 0750);
}

/* Replacing. */

static void test_replacing_leaves_old_or_new_and_nothing_beside(void **state) {
        _cleanup_free_ char *data = scratch_pattern(MIB);
        int r;

        (void) state;
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("file"), "old", 3), 0);
        limit_file_size(MIB / 2);
        r = write_file_atomic_at(AT_FDCWD, scratch("file"), data, MIB);
        limit_file_size(UINT64_MAX);
        assert_int_equal(r, -EFBIG);
        assert_file_is(scratch("file"), "old", 3);
        assert_int_equal(scratch_entries(scratch_directory), 1);

        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("file"), data, MIB), 0);
        assert_file_is(scratch("file"), data, MIB);
        assert_int_equal(scratch_entries(scratch_directory), 1);

        if (!scratch_mount("64k"))
                return;
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("mount/file"), "old", 3), 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("mount/file"), data, MIB), -ENOSPC);
        assert_file_is(scratch("mount/file"), "old", 3);
        assert_int_equal(scratch_entries(scratch("mount")), 1);
        scratch_make_read_only();
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("mount/file"), "new", 3), -EROFS);
        assert_file_is(scratch("mount/file"), "old", 3);
}

static void test_what_cannot_be_replaced_stays_and_nothing_beside_it(void **state) {
        (void) state;
        assert_int_equal(mkdir(scratch("directory"), 0700), 0);
        scratch_write(scratch("directory/inside"), "", 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("directory"), "x", 1), -EISDIR);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("none/file"), "x", 1), -ENOENT);
        assert_int_equal(
                write_file_atomic_at(AT_FDCWD, scratch("directory/inside/x"), "x", 1), -ENOTDIR);
        assert_int_equal(scratch_entries(scratch_directory), 1);
        assert_int_equal(scratch_entries(scratch("directory")), 1);
}

static void test_names_are_relative_to_the_directory_and_may_be_long(void **state) {
        _cleanup_close_ int fd = open(scratch_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char name[300], path[310];

        (void) state;
        assert_true(fd >= 0);
        assert_int_equal(mkdir(scratch("sub"), 0700), 0);
        assert_int_equal(write_file_atomic_at(fd, "sub/file", "x", 1), 0);
        assert_file_is(scratch("sub/file"), "x", 1);

        memset(name, 'n', sizeof name);
        name[255] = '\0';
        (void) snprintf(path, sizeof path, "sub/%s", name);
        assert_int_equal(write_file_atomic_at(fd, path, "long", 4), 0);
        assert_file_is(scratch(path), "long", 4);
        assert_int_equal(scratch_entries(scratch("sub")), 2);
        name[255] = 'n';
        name[256] = '\0';
        assert_int_equal(write_file_atomic_at(fd, name, "long", 4), -ENAMETOOLONG);
        assert_int_equal(scratch_entries(scratch_directory), 1);
}

static void test_link_is_replaced_itself(void **state) {
        struct stat st;

        (void) state;
        scratch_write(scratch("elsewhere"), "kept", 4);
        assert_int_equal(symlink("elsewhere", scratch("link")), 0);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, scratch("link"), "new", 3), 0);
        assert_file_is(scratch("elsewhere"), "kept", 4);
        assert_int_equal(lstat(scratch("link"), &st), 0);
        assert_true(S_ISREG(st.st_mode));
        assert_file_is(scratch("link"), "new", 3);
}

static void replace_again_and_again(int ready, void *userdata) {
        const char *path = userdata;
        static char content[100000];

        for (unsigned i = 0;; i++) {
                size_t size = i % 2 ? sizeof content : 1000;
                memset(content, 'a' + (int) (i % 26), size);
                MUST(write_file_atomic_at(AT_FDCWD, path, content, size) >= 0);
                if (i == 1)
                        child_ready(ready);
        }
}

static void test_what_a_killed_writer_left_goes_and_nothing_else(void **state) {
        (void) state;
        scratch_write(scratch("file"), "whole", 5);
        scratch_write(scratch(".file.tmp-0123456789abcdef"), "half", 4);
        scratch_write(scratch(".file.tmp-0000000000000000"), "", 0);
        scratch_write(scratch(".files.tmp-0123456789abcdef"), "of another", 10);
        assert_int_equal(remove_temporaries_at(AT_FDCWD, scratch("file")), 0);
        assert_int_equal(remove_temporaries_at(AT_FDCWD, scratch("none/file")), 0);
        assert_int_equal(scratch_entries(scratch_directory), 2);
        assert_true(scratch_exists(scratch(".files.tmp-0123456789abcdef")));
}

static void test_readers_see_old_or_new_never_a_part(void **state) {
        const char *path = scratch("file");
        struct Child writer = child_start(replace_again_and_again, (void *) path);
        bool whole = true;

        (void) state;
        for (unsigned i = 0; i < 300 && whole; i++) {
                size_t size = 0;
                _cleanup_free_ char *data = scratch_read(path, &size);

                whole = data && (size == 100000 || size == 1000);
                for (size_t k = 1; k < size && whole; k++)
                        whole = data[k] == data[0];
        }
        child_kill(&writer);
        assert_true(whole);
}

/* Reading. */

static void test_file_is_read_whole_up_to_the_limit(void **state) {
        static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 300000 };

        (void) state;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                _cleanup_free_ char *data = scratch_pattern(sizes[i]), *read = NULL;
                char *untouched = NULL;
                size_t size = 42;

                scratch_write(scratch("file"), data, sizes[i]);
                if (sizes[i] > 0)
                        assert_int_equal(read_file_at(AT_FDCWD, scratch("file"), sizes[i] - 1,
                                                 &untouched, &size),
                                -EFBIG);
                assert_null(untouched);
                assert_int_equal(size, 42);
                assert_int_equal(
                        read_file_at(AT_FDCWD, scratch("file"), sizes[i], &read, &size), 0);
                assert_int_equal(size, sizes[i]);
                assert_memory_equal(read, data, size);
                assert_int_equal(read[size], '\0');
        }
}

static void test_open_file_is_read_from_where_it_stands(void **state) {
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *read = NULL;
        char *untouched = NULL;
        size_t size = 42;
        int fds[2];

        (void) state;
        scratch_write(scratch("file"), "abcdef", 6);
        fd = open(scratch("file"), O_RDONLY | O_CLOEXEC);
        assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
        assert_int_equal(read_fd(fd, 6, &read, &size), 0);
        assert_string_equal(read, "cdef");
        assert_int_equal(size, 4);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(read_fd(fds[0], 6, &untouched, &size), -EINVAL);
        assert_int_equal(read_fd(-1, 6, &untouched, &size), -EBADF);
        assert_null(untouched);
        (void) close(fds[0]);
        (void) close(fds[1]);
}

static void test_file_is_read_from_an_offset_as_far_as_it_goes(void **state) {
        _cleanup_close_ int fd = -1;
        char data[5] = "";
        int fds[2];

        (void) state;
        scratch_write(scratch("file"), "abcdef", 6);
        fd = open(scratch("file"), O_RDONLY | O_CLOEXEC);
        assert_int_equal(read_all_at(fd, data, 4, 0), 4);
        assert_string_equal(data, "abcd");
        assert_int_equal(read_all_at(fd, data, 4, 4), 2);
        assert_string_equal(data, "efcd");
        assert_int_equal(read_all_at(fd, data, 4, 6), 0);
        assert_int_equal(read_all_at(fd, data, 4, 1000), 0);
        assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
        assert_int_equal(read_all_at(-1, data, 4, 0), -EBADF);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(read_all_at(fds[0], data, 4, 0), -ESPIPE);
        (void) close(fds[0]);
        (void) close(fds[1]);
}

/* The kernel says that such files are empty: the same as one that grows while it is read. */
static void test_file_that_is_larger_than_it_said_is_read_whole(void **state) {
        _cleanup_free_ char *all = NULL;
        char *part = NULL;
        size_t size = 0;

        (void) state;
        if (access("/proc/self/smaps", R_OK) < 0)
                skip();
        assert_int_equal(read_file_at(AT_FDCWD, "/proc/self/smaps", MIB, &all, &size), 0);
        assert_true(size > 4096);
        assert_int_equal(strlen(all), size);
        assert_non_null(strstr(all, "[stack]"));
        assert_int_equal(read_file_at(AT_FDCWD, "/proc/self/smaps", 1000, &part, &size), -EFBIG);
        assert_null(part);
}

static void test_only_regular_files_are_read(void **state) {
        char *data = NULL;
        size_t size = 0;

        (void) state;
        assert_int_equal(mkfifo(scratch("pipe"), 0600), 0);
        assert_int_equal(read_file_at(AT_FDCWD, scratch("pipe"), 10, &data, &size), -EINVAL);
        assert_int_equal(read_file_at(AT_FDCWD, "/dev/null", 10, &data, &size), -EINVAL);
        assert_int_equal(read_file_at(AT_FDCWD, scratch_directory, 10, &data, &size), -EISDIR);
        assert_int_equal(read_file_at(AT_FDCWD, scratch("none"), 10, &data, &size), -ENOENT);
        assert_int_equal(symlink("loop", scratch("loop")), 0);
        assert_int_equal(read_file_at(AT_FDCWD, scratch("loop"), 10, &data, &size), -ELOOP);
        assert_null(data);

        scratch_write(scratch("file"), "abc", 3);
        assert_int_equal(symlink("file", scratch("link")), 0);
        assert_int_equal(read_file_at(AT_FDCWD, scratch("link"), 10, &data, &size), 0);
        assert_string_equal(data, "abc");
        free(data);
}

static int read_as_nobody(void *userdata) {
        char *data = NULL;
        size_t size;

        become_nobody();
        return -read_file_at(AT_FDCWD, userdata, 10, &data, &size);
}

static void test_file_of_others_is_not_read(void **state) {
        const char *path = scratch("file");

        (void) state;
        scratch_write(path, "abc", 3);
        assert_int_equal(chmod(path, 0), 0);
        assert_int_equal(chmod(scratch_directory, 0755), 0);
        assert_int_equal(child_ask(read_as_nobody, (void *) path), EACCES);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_signals_and_short_counts_lose_no_byte,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_full_device_is_reported, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_new_file_is_whole_or_absent, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_new_file_replaces_nothing_and_follows_no_link,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_files_and_directories_are_not_for_others,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_replacing_leaves_old_or_new_and_nothing_beside,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_cannot_be_replaced_stays_and_nothing_beside_it, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_names_are_relative_to_the_directory_and_may_be_long, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_link_is_replaced_itself, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_readers_see_old_or_new_never_a_part, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_file_is_read_whole_up_to_the_limit, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_file_that_is_larger_than_it_said_is_read_whole,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_only_regular_files_are_read, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_file_of_others_is_not_read, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_a_killed_writer_left_goes_and_nothing_else, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(test_file_is_read_from_an_offset_as_far_as_it_goes,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_open_file_is_read_from_where_it_stands,
                        scratch_setup, scratch_teardown),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
