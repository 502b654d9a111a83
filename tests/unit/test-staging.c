/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/staging.h"
#include "lib/base/lock.h"
#include "tests/unit/backup-fixture.h"

static struct Staging make(struct Fixture *f) {
        struct Staging staging = STAGING_INIT;

        assert_success(f,
                staging_create(
                        f->layout->snapshots, STAGING_DIRECTORY, NOW_STAMP, &staging, &f->failure));
        return staging;
}

static size_t snapshots_entries(struct Fixture *f) {
        return scratch_entries(f->layout->snapshots);
}

static void test_it_has_a_name_of_its_own_and_is_locked(void **state) {
        struct Fixture *f = *state;
        _cleanup_staging_ struct Staging one = make(f), two = make(f);
        _cleanup_close_ int fd = open(one.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const char *name = strrchr(one.path, '/') + 1;
        struct stat st;

        assert_string_not_equal(one.path, two.path);
        assert_int_equal(strncmp(name, ".partial-" NOW_STAMP "-", 26), 0);
        assert_int_equal(strspn(name + 26, "0123456789abcdef"), 8);
        assert_int_equal(strlen(name), 34);
        assert_true(lock_directory(fd) < 0);
        MUST(fstat(fd, &st) >= 0);
        assert_int_equal(st.st_mode & 07777 & ~(mode_t) DIRECTORY_MODE, 0);
}

static void test_a_missing_backup_root_is_never_made(void **state) {
        struct Fixture *f = *state;
        struct Staging staging = STAGING_INIT;

        MUST(remove_tree_at(AT_FDCWD, f->layout->backups) == 0);
        assert_int_equal(staging_check_root(f->layout, &f->failure), -ENOENT);
        assert_int_equal(f->failure.event, EVENT_BACKUP_ROOT_MISSING);
        fixture_forget(f);
        assert_true(staging_create(f->layout->snapshots, STAGING_DIRECTORY, NOW_STAMP, &staging,
                            &f->failure) < 0);
        assert_false(scratch_exists(f->layout->backups));
        assert_int_equal(staging.fd, -1);

        fixture_forget(f);
        scratch_write(f->layout->backups, "x", 1);
        assert_int_equal(staging_check_root(f->layout, &f->failure), -ENOTDIR);
        assert_string_equal(f->failure.path, f->layout->backups);
}

static void test_what_is_discarded_is_gone(void **state) {
        struct Fixture *f = *state;
        struct Staging staging = make(f);

        MUST(mkdirat(staging.fd, "deep", 0750) >= 0);
        MUST(write_new_file_at(staging.fd, "deep/file", "x", 1) == 0);
        staging_discard(&staging);
        assert_int_equal(snapshots_entries(f), 0);
        staging_discard(&staging); /* nothing is left to discard */
        assert_int_equal(fcntl(staging.fd, F_GETFD), -1);
}

static void test_what_is_published_stays_and_keeps_its_lock_until_discarded(void **state) {
        struct Fixture *f = *state;
        struct Staging staging = make(f);

        MUST(write_new_file_at(staging.fd, "file", "x", 1) == 0);
        assert_success(f, staging_sync(&staging, &f->failure));
        assert_success(f, staging_publish(&staging, NOW_STAMP, &f->failure));
        staging_discard(&staging);
        assert_int_equal(snapshots_entries(f), 1);
        assert_true(scratch_exists(scratch("backups/snapshots/" NOW_STAMP "/file")));
}

static void test_nothing_is_ever_replaced(void **state) {
        struct Fixture *f = *state;
        _cleanup_staging_ struct Staging staging = make(f);
        _cleanup_free_ char *path = strdup(staging.path);
        const char *name = scratch("backups/snapshots/" NOW_STAMP);

        MUST(write_new_file_at(staging.fd, "mine", "x", 1) == 0);
        for (int kind = 0; kind < 4; kind++) {
                switch (kind) {
                case 0:
                        scratch_write(name, "theirs", 6);
                        break;
                case 1:
                        MUST(symlink("nowhere", name) >= 0);
                        break;
                case 2:
                        MUST(mkdir(name, 0750) >= 0);
                        break;
                default:
                        MUST(mkdir(name, 0750) >= 0);
                        scratch_write(scratch("backups/snapshots/" NOW_STAMP "/theirs"), "x", 1);
                }
                assert_int_equal(staging_publish(&staging, NOW_STAMP, &f->failure), -EEXIST);
                assert_false(failure_is_set(&f->failure));
                assert_string_equal(staging.path, path);
                assert_false(scratch_exists(scratch("backups/snapshots/" NOW_STAMP "/mine")));
                MUST(remove_tree_at(AT_FDCWD, name) == 0);
        }
        assert_success(f, staging_publish(&staging, NOW_STAMP, &f->failure));
}

static void test_sync_looks_at_all_of_a_tree(void **state) {
        struct Fixture *f = *state;
        _cleanup_staging_ struct Staging staging = make(f);
        int below = dup(staging.fd);

        for (int i = 0; i < 300; i++) {
                int next;

                MUST(mkdirat(below, "d", 0750) >= 0);
                next = openat(below, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                MUST(next >= 0 && close(below) >= 0);
                below = next;
        }
        MUST(write_new_file_at(below, "file", "x", 1) == 0);
        MUST(linkat(below, "file", staging.fd, "link", 0) >= 0);
        (void) close(below);
        assert_success(f, staging_sync(&staging, &f->failure));

        MUST(symlinkat("nowhere", staging.fd, "no-file") >= 0);
        assert_true(staging_sync(&staging, &f->failure) < 0);
}

static void test_only_what_nobody_holds_is_removed(void **state) {
        struct Fixture *f = *state;
        _cleanup_staging_ struct Staging alive = make(f);
        uint64_t removed = 0, bytes = 0;

        MUST(mkdir(scratch("backups/snapshots/.partial-20260401T000000Z-00000001"), 0750) >= 0);
        MUST(mkdir(scratch("backups/snapshots/.partial-"), 0750) >= 0);
        MUST(mkdir(scratch("backups/snapshots/.failed-20260401T000000Z"), 0750) >= 0);
        MUST(mkdir(scratch("backups/snapshots/20260401T000000Z"), 0750) >= 0);
        MUST(mkdir(scratch("elsewhere"), 0750) >= 0);
        MUST(symlink(scratch("elsewhere"), scratch("backups/snapshots/.partial-link")) >= 0);
        scratch_write(scratch("backups/snapshots/.partial-file"), "x", 1);
        assert_success(f,
                staging_remove_abandoned(
                        &f->operation, f->layout->snapshots, &removed, &bytes, &f->failure));
        assert_int_equal(removed, 3);
        assert_int_equal(fixture_count(f, EVENT_LEFTOVER_REMOVED), 3);
        assert_int_equal(snapshots_entries(f), 4);
        assert_true(scratch_exists(alive.path) && scratch_exists(scratch("elsewhere")));
}

static void test_without_snapshots_nothing_is_abandoned(void **state) {
        struct Fixture *f = *state;
        uint64_t removed = 0, bytes = 0;

        MUST(rmdir(f->layout->snapshots) >= 0);
        assert_success(f,
                staging_remove_abandoned(
                        &f->operation, f->layout->snapshots, &removed, &bytes, &f->failure));
        assert_int_equal(removed, 0);
        assert_false(scratch_exists(f->layout->snapshots));
}

/* In a child: takes and gives back descriptors, so that some step finds none left. */
static int create_with_few_descriptors(void *userdata) {
        struct Fixture *f = userdata;

        for (rlim_t limit = 3; limit < 32; limit++) {
                struct rlimit few = { limit, 32 };
                struct Staging staging = STAGING_INIT;
                int r;

                fixture_forget(f);
                MUST(setrlimit(RLIMIT_NOFILE, &few) >= 0);
                r = staging_create(
                        f->layout->snapshots, STAGING_DIRECTORY, NOW_STAMP, &staging, &f->failure);
                few.rlim_cur = 32;
                MUST(setrlimit(RLIMIT_NOFILE, &few) >= 0);
                staging_discard(&staging);
                MUST(snapshots_entries(f) == 0);
                if (r >= 0)
                        return 1;
                MUST(r == -EMFILE && failure_is_set(&f->failure));
        }
        return 2;
}

static void test_without_descriptors_nothing_is_left_behind(void **state) {
        assert_int_equal(child_ask(create_with_few_descriptors, *state), 1);
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_it_has_a_name_of_its_own_and_is_locked),
                ON_ROOT(test_a_missing_backup_root_is_never_made),
                ON_ROOT(test_what_is_discarded_is_gone),
                ON_ROOT(test_what_is_published_stays_and_keeps_its_lock_until_discarded),
                ON_ROOT(test_nothing_is_ever_replaced),
                ON_ROOT(test_sync_looks_at_all_of_a_tree),
                ON_ROOT(test_only_what_nobody_holds_is_removed),
                ON_ROOT(test_without_snapshots_nothing_is_abandoned),
                ON_ROOT(test_without_descriptors_nothing_is_left_behind),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
