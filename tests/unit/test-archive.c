/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/archive.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/base/digest.h"
#include "tests/unit/backup-fixture.h"

static void digest_of(const char *path, char ret_hex[DIGEST_HEX_SIZE]) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(digest_fd(fd, ret_hex, NULL), 0);
}

static void assert_no_archives(struct Fixture *f) {
        _cleanup_closedir_ DIR *stream = opendir(f->layout->archives);
        struct dirent *entry;

        while (stream && (entry = readdir(stream)))
                assert_true(entry->d_name[0] == '.' && strlen(entry->d_name) <= 2);
}

static void same_snapshot_same_bytes(void **state) {
        struct Fixture *f = *state;
        static const enum ArchiveFormat formats[] = { ARCHIVE_FORMAT_ZSTD, ARCHIVE_FORMAT_GZIP,
                ARCHIVE_FORMAT_NONE };

        fixture_fill(f);
        snapshot_free(fixture_create(f, true));
        for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
                char first[DIGEST_HEX_SIZE], second[DIGEST_HEX_SIZE];
                _cleanup_free_ char *path = NULL, *again = NULL;

                assert_success(f,
                        archive_create(&f->operation, NOW_STAMP, formats[i], &path, &f->failure));
                digest_of(path, first);
                assert_int_equal(unlink(path), 0);
                assert_success(f,
                        archive_create(&f->operation, NOW_STAMP, formats[i], &again, &f->failure));
                digest_of(again, second);
                assert_string_equal(path, again);
                assert_string_equal(first, second);
                assert_int_equal(fixture_count(f, EVENT_ARCHIVE_DONE), 2 * (i + 1));
        }
}

static void what_is_damaged_is_not_archived(void **state) {
        struct Fixture *f = *state;
        char *path = NULL;

        fixture_fill(f);
        snapshot_free(fixture_create(f, true));
        scratch_write(
                scratch("backups/snapshots/" NOW_STAMP "/chroma/index/a.bin"), "x123456789", 10);
        assert_int_equal(
                archive_create(&f->operation, NOW_STAMP, ARCHIVE_FORMAT_ZSTD, &path, &f->failure),
                -EBADMSG);
        assert_int_equal(f->failure.event, EVENT_SNAPSHOT_INVALID);
        assert_string_equal(f->failure.code, "checksum_mismatch");
        assert_no_archives(f);
}

static void stopped_it_leaves_nothing(void **state) {
        struct Fixture *f = *state;
        char *path = NULL;

        fixture_fill(f);
        snapshot_free(fixture_create(f, true));
        f->checks = 0;
        f->stop_at = 3;
        assert_int_equal(
                archive_create(&f->operation, NOW_STAMP, ARCHIVE_FORMAT_ZSTD, &path, &f->failure),
                -EINTR);
        assert_int_equal(f->failure.event, EVENT_INTERRUPTED);
        assert_no_archives(f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        same_snapshot_same_bytes, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                        what_is_damaged_is_not_archived, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                        stopped_it_leaves_nothing, fixture_setup, fixture_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
