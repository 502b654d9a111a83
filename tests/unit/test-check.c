/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ftw.h>

#include "lib/backup/check-database.h"
#include "lib/backup/check-report.h"
#include "lib/backup/manifest.h"
#include "tests/unit/backup-fixture.h"

#define FLIPS 1000

/* The files of one snapshot. */
static struct {
        char *paths[32];
        off_t sizes[32];
        size_t n;
        off_t total;
} files;

static int add_file(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) ftw;
        if (type != FTW_F || st->st_size == 0)
                return 0;
        MUST(files.n < sizeof files.paths / sizeof files.paths[0]);
        files.paths[files.n] = strdup(path);
        files.sizes[files.n++] = st->st_size;
        files.total += st->st_size;
        return 0;
}

static void list_files(const char *directory) {
        files.n = 0;
        files.total = 0;
        MUST(nftw(directory, add_file, 8, FTW_PHYS) == 0);
}

static void forget_files(void) {
        for (size_t i = 0; i < files.n; i++)
                free(files.paths[i]);
}

static void flip(const char *path, off_t offset, unsigned char mask) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        unsigned char byte;

        MUST(fd >= 0 && pread(fd, &byte, 1, offset) == 1);
        byte ^= mask;
        MUST(pwrite(fd, &byte, 1, offset) == 1 && close(fd) >= 0);
}

static bool is_valid(struct Fixture *f, const char *path) {
        _cleanup_check_report_ struct CheckReport *report = NULL;

        assert_success(f, check_directory(&f->operation, path, NOW_STAMP, &report, &f->failure));
        return report->valid;
}

static void test_a_thousand_flipped_bytes_are_a_thousand_invalid_snapshots(void **state) {
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;
        unsigned short seed[3] = { 4, 7, 2026 };

        fixture_fill(f);
        snapshot = fixture_create(f, true);
        list_files(snapshot->path);
        assert_int_equal(files.n, 6); /* but for the empty one */
        for (size_t i = 0; i < FLIPS; i++) {
                /* Each file as often as the others, and each byte of a file. */
                size_t file = i % files.n;
                off_t offset = (off_t) (erand48(seed) * (double) files.sizes[file]);
                unsigned char mask = (unsigned char) (1 + nrand48(seed) % 255);

                flip(files.paths[file], offset, mask);
                if (is_valid(f, snapshot->path))
                        fail_msg("%s: byte %jd ^ %#x is not noticed", files.paths[file],
                                (intmax_t) offset, mask);
                flip(files.paths[file], offset, mask);
        }
        assert_true(is_valid(f, snapshot->path));
        forget_files();
}

static void test_every_byte_of_the_two_last_files_counts(void **state) {
        static const char *const names[] = { METADATA_NAME, MANIFEST_NAME };
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;

        fixture_fill(f);
        snapshot = fixture_create(f, false);
        for (size_t i = 0; i < 2; i++) {
                _cleanup_free_ char *path = NULL;
                struct stat st;

                MUST(asprintf(&path, "%s/%s", snapshot->path, names[i]) > 0);
                MUST(stat(path, &st) >= 0);
                for (off_t offset = 0; offset < st.st_size; offset++) {
                        flip(path, offset, 0x20); /* upper to lower case and back */
                        if (is_valid(f, snapshot->path))
                                fail_msg("%s: byte %jd", names[i], (intmax_t) offset);
                        flip(path, offset, 0x20);
                }
        }
        assert_true(is_valid(f, snapshot->path));
}

static void test_a_missing_directory_is_a_finding(void **state) {
        static const char *const names[] = { "nothing", "file", "link" };
        struct Fixture *f = *state;

        scratch_write(scratch("file"), "x", 1);
        MUST(symlink(f->layout->snapshots, scratch("link")) >= 0);
        for (size_t i = 0; i < 3; i++) {
                _cleanup_check_report_ struct CheckReport *report = NULL;

                assert_success(f,
                        check_directory(
                                &f->operation, scratch(names[i]), "", &report, &f->failure));
                assert_false(report->valid);
                assert_int_equal(report->n_findings, 1);
                assert_int_equal(report->findings[0].code, FINDING_SNAPSHOT_DIRECTORY_MISSING);
        }
}

static void test_a_missing_snapshot_leaves_no_verdict(void **state) {
        struct Fixture *f = *state;
        _cleanup_check_report_ struct CheckReport *report = NULL;

        assert_success(f, check_snapshot(&f->operation, NOW_STAMP, &report, &f->failure));
        assert_true(check_report_has(report, FINDING_SNAPSHOT_DIRECTORY_MISSING));
        assert_false(scratch_exists(f->layout->state));
}

static void test_what_is_no_stamp_is_refused(void **state) {
        static const char *const texts[] = { "", "..", "../../etc", "20260231T000000Z",
                "20260407T060000z", "20260407T060000Z/", ".trash-20260407T060000Z" };
        struct Fixture *f = *state;

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                struct CheckReport *report = (void *) f;

                fixture_forget(f);
                assert_int_equal(
                        check_snapshot(&f->operation, texts[i], &report, &f->failure), -EINVAL);
                assert_int_equal(f->failure.event, EVENT_STAMP_INVALID);
                assert_ptr_equal(report, f); /* untouched */
        }
}

static void test_the_verdict_is_kept_and_a_verdict_that_cannot_be_is_told(void **state) {
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;
        _cleanup_check_report_ struct CheckReport *first = NULL, *second = NULL;

        fixture_fill(f);
        snapshot = fixture_create(f, false);
        assert_success(f, check_snapshot(&f->operation, NOW_STAMP, &first, &f->failure));
        assert_true(scratch_exists(scratch("backups/state/" NOW_STAMP ".json")));
        assert_int_equal(f->n_notices, 0);

        MUST(remove_tree_at(AT_FDCWD, f->layout->state) == 0);
        scratch_write(f->layout->state, "in the way", 10);
        assert_success(f, check_snapshot(&f->operation, NOW_STAMP, &second, &f->failure));
        assert_true(second->valid);
        assert_int_equal(fixture_count(f, EVENT_STATE_NOT_SAVED), 1);
}

static void test_it_stops_when_told_to(void **state) {
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;
        size_t checks;

        fixture_fill(f);
        snapshot = fixture_create(f, true);
        f->checks = 0;
        assert_true(is_valid(f, snapshot->path));
        checks = f->checks;
        assert_true(checks >= 8); /* at least once for each file */
        for (size_t i = 1; i <= checks; i++) {
                struct CheckReport *report = (void *) f;

                fixture_forget(f);
                f->checks = 0;
                f->stop_at = i;
                assert_int_equal(check_directory(&f->operation, snapshot->path, NOW_STAMP, &report,
                                         &f->failure),
                        -EINTR);
                assert_int_equal(f->failure.event, EVENT_INTERRUPTED);
                assert_string_equal(f->failure.stamp, NOW_STAMP);
                assert_ptr_equal(report, f);
        }
}

static int check_as_nobody(void *userdata) {
        struct Fixture *f = userdata;
        _cleanup_check_report_ struct CheckReport *report = NULL;
        int r;

        become_nobody();
        r = check_directory(
                &f->operation, scratch("backups/snapshots/" NOW_STAMP), "", &report, &f->failure);
        return r == -EACCES && f->failure.event == EVENT_PERMISSION_DENIED ? 1 : 2;
}

static void test_what_may_not_be_read_is_not_called_damaged(void **state) {
        static const char *const names[] = { "db/atocore.db", "config/project-registry.json",
                METADATA_NAME, MANIFEST_NAME, "chroma/index", "chroma/index/a.bin" };
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;

        if (geteuid() != 0)
                skip();
        fixture_fill(f);
        snapshot = fixture_create(f, true);
        MUST(chmod(scratch_directory, 0755) >= 0 && chmod(f->layout->backups, 0755) >= 0);
        MUST(chmod(f->layout->snapshots, 0755) >= 0 && chmod(snapshot->path, 0755) >= 0);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                _cleanup_free_ char *path = NULL;

                MUST(asprintf(&path,
                             "find '%s' -type d -exec chmod 755 {} + && "
                             "find '%s' -type f -exec chmod 644 {} +",
                             snapshot->path, snapshot->path) > 0);
                MUST(system(path) == 0);
                free(path);
                MUST(asprintf(&path, "%s/%s", snapshot->path, names[i]) > 0);
                MUST(chmod(path, 0) >= 0);
                if (child_ask(check_as_nobody, f) != 1)
                        fail_msg("%s", names[i]);
        }
}

static void test_the_database_alone_can_be_checked(void **state) {
        struct Fixture *f = *state;
        _cleanup_check_report_ struct CheckReport *sound = check_report_new("");
        _cleanup_check_report_ struct CheckReport *broken = check_report_new("");
        _cleanup_check_report_ struct CheckReport *none = check_report_new("");

        MUST(mkdir(scratch("db"), 0750) >= 0);
        database_make(scratch("db/atocore.db"), "CREATE TABLE t(x)");
        assert_success(
                f, check_database(&f->operation, scratch("db/atocore.db"), sound, &f->failure));
        assert_int_equal(sound->n_findings, 0);
        database_damage(scratch("db/atocore.db"), 4096, 64);
        assert_success(
                f, check_database(&f->operation, scratch("db/atocore.db"), broken, &f->failure));
        assert_true(check_report_has(broken, FINDING_DB_INTEGRITY_CHECK_FAILED));
        scratch_write(scratch("db/atocore.db"), "text", 4);
        assert_success(
                f, check_database(&f->operation, scratch("db/atocore.db"), none, &f->failure));
        assert_true(check_report_has(none, FINDING_DB_OPEN_FAILED));
        MUST(unlink(scratch("db/atocore.db")) >= 0);
        assert_int_equal(check_database(&f->operation, scratch("db/atocore.db"), none, &f->failure),
                -ENOENT);
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_a_thousand_flipped_bytes_are_a_thousand_invalid_snapshots),
                ON_ROOT(test_every_byte_of_the_two_last_files_counts),
                ON_ROOT(test_a_missing_directory_is_a_finding),
                ON_ROOT(test_a_missing_snapshot_leaves_no_verdict),
                ON_ROOT(test_what_is_no_stamp_is_refused),
                ON_ROOT(test_the_verdict_is_kept_and_a_verdict_that_cannot_be_is_told),
                ON_ROOT(test_it_stops_when_told_to),
                ON_ROOT(test_what_may_not_be_read_is_not_called_damaged),
                ON_ROOT(test_the_database_alone_can_be_checked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
