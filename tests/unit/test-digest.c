/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/scratch.h"

#define OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OF_ABC     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define OF_MILLION "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

/* FIPS 180-4's examples (one block, two blocks, a million times "a") and nothing at all. */
static void test_digests_are_sha256(void **state) {
        static const struct {
                const char *text, *digest;
        } rows[] = {
                { "", OF_NOTHING },
                { "abc", OF_ABC },
                { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
        };
        _cleanup_free_ char *million = malloc(1000000);
        char hex[DIGEST_HEX_SIZE];

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                assert_int_equal(digest_buffer(rows[i].text, strlen(rows[i].text), hex), 0);
                assert_string_equal(hex, rows[i].digest);
        }
        assert_non_null(million);
        memset(million, 'a', 1000000);
        assert_int_equal(digest_buffer(million, 1000000, hex), 0);
        assert_string_equal(hex, OF_MILLION);
}

static void test_pieces_make_the_digest_of_the_whole(void **state) {
        static const size_t pieces[] = { 1, 63, 64, 65, 4096, 262143, 262144, 999999 };
        _cleanup_free_ char *million = malloc(1000000);

        (void) state;
        assert_non_null(million);
        memset(million, 'a', 1000000);
        for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
                _cleanup_digest_ struct Digest *digest = NULL;
                char hex[DIGEST_HEX_SIZE];

                assert_int_equal(digest_new(&digest), 0);
                for (size_t at = 0; at < 1000000; at += pieces[i]) {
                        size_t size = 1000000 - at < pieces[i] ? 1000000 - at : pieces[i];
                        assert_int_equal(digest_update(digest, million + at, size), 0);
                }
                assert_int_equal(digest_finish(digest, hex), 0);
                assert_string_equal(hex, OF_MILLION);
        }
}

static void test_file_is_read_from_its_start_and_its_offset_stays(void **state) {
        _cleanup_close_ int fd = -1;
        char hex[DIGEST_HEX_SIZE];
        uint64_t size = 0;

        (void) state;
        scratch_write(scratch("abc"), "abc", 3);
        fd = open(scratch("abc"), O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
        assert_int_equal(digest_fd(fd, hex, &size), 0);
        assert_string_equal(hex, OF_ABC);
        assert_int_equal(size, 3);
        assert_int_equal(lseek(fd, 0, SEEK_CUR), 2);
        assert_int_equal(digest_fd(fd, hex, NULL), 0);
        assert_string_equal(hex, OF_ABC);
}

static void test_files_larger_than_the_buffer_are_read_whole(void **state) {
        static const off_t sizes[] = { 0, 1, 262143, 262144, 262145, 3 * 262144 + 17 };
        _cleanup_free_ char *zeros = calloc(1, 4 * 262144);

        (void) state;
        assert_non_null(zeros);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                _cleanup_close_ int fd = -1;
                char expected[DIGEST_HEX_SIZE], hex[DIGEST_HEX_SIZE];
                uint64_t size = 0;

                scratch_write(scratch("sparse"), "", 0);
                assert_int_equal(truncate(scratch("sparse"), sizes[i]), 0);
                fd = open(scratch("sparse"), O_RDONLY | O_CLOEXEC);
                assert_int_equal(digest_fd(fd, hex, &size), 0);
                assert_int_equal(digest_buffer(zeros, (size_t) sizes[i], expected), 0);
                assert_string_equal(hex, expected);
                assert_int_equal(size, sizes[i]);
        }
}

static void test_what_cannot_be_read_has_no_digest(void **state) {
        _cleanup_close_ int directory = open(scratch_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int write_only = -1;
        char hex[DIGEST_HEX_SIZE] = "untouched";
        uint64_t size = 42;
        int fds[2];

        (void) state;
        write_only = open(scratch("x"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(directory >= 0 && write_only >= 0);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(digest_fd(directory, hex, &size), -EISDIR);
        assert_int_equal(digest_fd(write_only, hex, &size), -EBADF);
        assert_int_equal(digest_fd(-1, hex, &size), -EBADF);
        assert_int_equal(digest_fd(fds[0], hex, &size), -ESPIPE);
        assert_string_equal(hex, "untouched");
        assert_int_equal(size, 42);
        (void) close(fds[0]);
        (void) close(fds[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_digests_are_sha256),
                cmocka_unit_test(test_pieces_make_the_digest_of_the_whole),
                cmocka_unit_test_setup_teardown(
                        test_file_is_read_from_its_start_and_its_offset_stays, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(test_files_larger_than_the_buffer_are_read_whole,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_cannot_be_read_has_no_digest, scratch_setup, scratch_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
