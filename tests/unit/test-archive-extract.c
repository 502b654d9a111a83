/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/archive-extract.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/backup/archive.h"
#include "tests/unit/backup-fixture.h"

static char *archive_of_all(struct Fixture *f) {
        char *path = NULL;

        fixture_fill(f);
        snapshot_free(fixture_create(f, true));
        assert_success(f,
                archive_create(&f->operation, NOW_STAMP, ARCHIVE_FORMAT_NONE, &path, &f->failure));
        MUST(mkdir(scratch("into"), DIRECTORY_MODE) >= 0);
        return path;
}

static int extract_into(struct Fixture *f, const char *path, const char *directory,
        struct CheckReport **ret_report) {
        _cleanup_close_ int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(dir_fd >= 0);
        return archive_extract(
                &f->operation, path, NULL, dir_fd, directory, ret_report, &f->failure);
}

static int extract(struct Fixture *f, const char *path, struct CheckReport **ret_report) {
        return extract_into(f, path, scratch("into"), ret_report);
}

static void what_comes_out_is_the_snapshot(void **state) {
        struct Fixture *f = *state;
        _cleanup_free_ char *path = archive_of_all(f);
        _cleanup_check_report_ struct CheckReport *report = NULL, *again = NULL;
        struct stat st;

        assert_success(f, extract(f, path, &report));
        assert_true(report->valid);
        assert_string_equal(report->stamp, NOW_STAMP);
        assert_success(f,
                check_directory(
                        &f->operation, scratch("into"), report->stamp, &again, &f->failure));
        assert_true(again->valid);
        assert_int_equal(again->n_findings, 0);
        assert_int_equal(again->files, report->files);
        assert_int_equal(again->bytes, report->bytes);
        MUST(stat(scratch("into/chroma/index"), &st) >= 0);
        assert_int_equal(st.st_mode & 07777 & ~(mode_t) DIRECTORY_MODE, 0);
        MUST(stat(scratch("into/chroma/index/a.bin"), &st) >= 0);
        assert_int_equal(st.st_mode & 07777 & ~(mode_t) FILE_MODE, 0);
}

static void what_is_there_is_neither_replaced_nor_followed(void **state) {
        struct Fixture *f = *state;
        _cleanup_free_ char *path = archive_of_all(f);
        struct CheckReport *report = NULL;

        MUST(mkdir(scratch("elsewhere"), DIRECTORY_MODE) >= 0);
        MUST(symlink(scratch("elsewhere"), scratch("into/db")) >= 0);
        assert_int_equal(extract(f, path, &report), -ENOTDIR);
        assert_int_equal(f->failure.event, EVENT_WRITE_FAILED);
        assert_int_equal(scratch_entries(scratch("elsewhere")), 0);

        fixture_forget(f);
        MUST(remove_tree_at(AT_FDCWD, scratch("into")) == 0);
        MUST(mkdir(scratch("into"), DIRECTORY_MODE) >= 0);
        scratch_write(scratch("kept"), "kept", 4);
        MUST(symlink(scratch("kept"), scratch("into/SHA256SUMS")) >= 0);
        assert_int_equal(extract(f, path, &report), -EEXIST);
        assert_null(report);
        assert_file_is(scratch("kept"), "kept", 4);
}

static void what_is_damaged_is_a_finding_and_ends_it(void **state) {
        struct Fixture *f = *state;
        _cleanup_free_ char *path = archive_of_all(f);
        struct CheckReport *report = NULL;
        size_t size;
        _cleanup_free_ char *content = scratch_read(path, &size);

        for (size_t cut = 0; cut < size - 2048; cut += 1777) {
                MUST(remove_tree_at(AT_FDCWD, scratch("into")) == 0);
                MUST(mkdir(scratch("into"), DIRECTORY_MODE) >= 0);
                scratch_write(scratch("cut"), content, cut);
                assert_success(f, extract(f, scratch("cut"), &report));
                assert_false(report->valid);
                assert_int_equal(report->n_findings, 1);
                report = check_report_free(report);
        }
}

static void what_does_not_fit_is_not_begun(void **state) {
        struct Fixture *f = *state;
        _cleanup_free_ char *path = archive_of_all(f);
        struct CheckReport *report = NULL;

        if (!scratch_mount("16k"))
                skip();
        assert_int_equal(extract_into(f, path, scratch("mount"), &report), -ENOSPC);
        assert_int_equal(f->failure.event, EVENT_NO_SPACE);
        assert_string_equal(f->failure.path, scratch("mount"));
        assert_int_equal(scratch_entries(scratch("mount")), 2); /* the manifest, the metadata */
}

static void it_stops_when_it_is_told_to(void **state) {
        struct Fixture *f = *state;
        _cleanup_free_ char *path = archive_of_all(f);
        struct CheckReport *report = NULL;

        f->checks = 0;
        f->stop_at = 3;
        assert_int_equal(extract(f, path, &report), -EINTR);
        assert_int_equal(f->failure.event, EVENT_INTERRUPTED);
        assert_null(report);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        what_comes_out_is_the_snapshot, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(what_is_there_is_neither_replaced_nor_followed,
                        fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                        what_is_damaged_is_a_finding_and_ends_it, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                        what_does_not_fit_is_not_begun, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                        it_stops_when_it_is_told_to, fixture_setup, fixture_teardown),
        };

        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
