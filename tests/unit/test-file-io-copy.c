/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/file-io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/scratch.h"

/* Copies and compares; the method. */
static enum CopyMethod copy(const char *source, const char *target, bool hash) {
        _cleanup_close_ int from = open(source, O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int to = open(target, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        _cleanup_digest_ struct Digest *digest = NULL;
        enum CopyMethod method = COPY_LINKED;
        _cleanup_free_ char *data = NULL;
        uint64_t bytes = UINT64_MAX;
        size_t size = 0;

        assert_true(from >= 0 && to >= 0);
        if (hash)
                assert_int_equal(digest_new(&digest), 0);
        /* Where the descriptor of the source stands does not matter. */
        assert_true(lseek(from, 1, SEEK_SET) >= 0);
        assert_int_equal(copy_contents(from, to, digest, &method, &bytes), 0);
        data = scratch_read(target, &size);
        assert_int_equal(bytes, size);
        if (hash) {
                char hex[DIGEST_HEX_SIZE], expected[DIGEST_HEX_SIZE];
                assert_int_equal(digest_finish(digest, hex), 0);
                assert_int_equal(digest_buffer(data, size, expected), 0);
                assert_string_equal(hex, expected);
        }
        return method;
}

static void test_copies_are_whole_by_whatever_method(void **state) {
        static const size_t sizes[] = { 0, 1, 4096, 262143, 262144, 262145, 3 * MIB + 5 };

        (void) state;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
                for (int hash = 0; hash <= 1; hash++) {
                        _cleanup_free_ char *data = scratch_pattern(sizes[i]);
                        enum CopyMethod method;

                        scratch_write(scratch("source"), data, sizes[i]);
                        method = copy(scratch("source"), scratch("target"), hash);
                        assert_cloned_where_possible(method);
                        assert_file_is(scratch("target"), data, sizes[i]);
                        /* Either cloned, or hashed on the way through. */
                        if (hash && method != COPY_CLONED)
                                assert_int_equal(method, COPY_READ_WRITE);
                        assert_int_equal(unlink(scratch("target")), 0);
                }
}

static void test_copies_cross_file_systems(void **state) {
        _cleanup_free_ char *data = scratch_pattern(3 * MIB);

        (void) state;
        if (!scratch_mount("8m"))
                skip();
        scratch_write(scratch("source"), data, 3 * MIB);
        for (int hash = 0; hash <= 1; hash++) {
                assert_int_not_equal(
                        copy(scratch("source"), scratch("mount/there"), hash), COPY_CLONED);
                assert_file_is(scratch("mount/there"), data, 3 * MIB);
                assert_int_not_equal(
                        copy(scratch("mount/there"), scratch("back"), hash), COPY_CLONED);
                assert_file_is(scratch("back"), data, 3 * MIB);
        }
}

/* The kernel copies nothing of them and says that it is done. */
static void test_files_whose_size_is_not_known_are_copied_whole(void **state) {
        (void) state;
        for (int hash = 0; hash <= 1; hash++) {
                _cleanup_free_ char *data = NULL;
                size_t size = 0;

                assert_int_equal(copy("/proc/version", scratch("target"), hash), COPY_READ_WRITE);
                assert_int_equal(read_file_at(AT_FDCWD, "/proc/version", MIB, &data, &size), 0);
                assert_file_is(scratch("target"), data, size);
        }
}

static int try_copy(const char *source, int source_flags, const char *target, bool hash) {
        _cleanup_close_ int from = open(source, source_flags | O_CLOEXEC);
        _cleanup_close_ int to = open(target, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        _cleanup_digest_ struct Digest *digest = NULL;
        enum CopyMethod method = COPY_LINKED;
        uint64_t bytes = 42;
        int r;

        assert_true(from >= 0 && to >= 0);
        if (hash)
                assert_int_equal(digest_new(&digest), 0);
        r = copy_contents(from, to, digest, &method, &bytes);
        if (r < 0)
                assert_true(method == COPY_LINKED && bytes == 42); /* untouched on failure */
        return r;
}

static void test_copy_that_does_not_fit_is_reported(void **state) {
        _cleanup_free_ char *data = scratch_pattern(3 * MIB);

        (void) state;
        scratch_write(scratch("source"), data, 3 * MIB);
        for (int hash = 0; hash <= 1; hash++) {
                int r;

                limit_file_size(MIB);
                r = try_copy(scratch("source"), O_RDONLY, scratch("target"), hash);
                limit_file_size(UINT64_MAX);
                assert_int_equal(r, -EFBIG);
                assert_int_equal(truncate(scratch("target"), 0), 0);
                assert_int_equal(try_copy(scratch("source"), O_RDONLY, "/dev/full", hash), -ENOSPC);
        }
        if (!scratch_mount("1m"))
                return;
        for (int hash = 0; hash <= 1; hash++) {
                assert_int_equal(
                        try_copy(scratch("source"), O_RDONLY, scratch("mount/target"), hash),
                        -ENOSPC);
                assert_int_equal(unlink(scratch("mount/target")), 0);
        }
}

static void test_source_that_cannot_be_read_is_reported(void **state) {
        (void) state;
        scratch_write(scratch("source"), "abc", 3);
        for (int hash = 0; hash <= 1; hash++) {
                assert_int_equal(
                        try_copy(scratch("source"), O_WRONLY, scratch("target"), hash), -EBADF);
                assert_int_equal(try_copy(scratch_directory, O_RDONLY | O_DIRECTORY,
                                         scratch("target"), hash),
                        -EISDIR);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_copies_are_whole_by_whatever_method, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_copies_cross_file_systems, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_files_whose_size_is_not_known_are_copied_whole,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_copy_that_does_not_fit_is_reported, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_source_that_cannot_be_read_is_reported,
                        scratch_setup, scratch_teardown),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
