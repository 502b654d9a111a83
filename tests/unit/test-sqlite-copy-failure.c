/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/copy-fixture.h"

static void test_what_is_no_database_is_not_copied(void **state) {
        (void) state;
        scratch_write(scratch("empty"), "", 0);
        scratch_write(scratch("text"), "not a database", 14);
        assert_int_equal(mkdir(scratch("directory"), 0700), 0);
        assert_int_equal(mkfifo(scratch("pipe"), 0600), 0);
        static const char *const names[] = { "empty", "text", "directory", "pipe" };
        for (size_t i = 0; i < 4; i++)
                assert_copy_fails(scratch(names[i]), scratch("copy.db"), -EBADMSG,
                        EVENT_DATABASE_INVALID, scratch(names[i]));
        assert_copy_fails(scratch("none"), scratch("copy.db"), -ENOENT, EVENT_DATABASE_MISSING,
                scratch("none"));
        assert_int_equal(scratch_entries(scratch_directory), 4);
}

static void test_existing_target_is_not_touched(void **state) {
        _cleanup_free_ char *kept = NULL;

        (void) state;
        database_make(scratch("source.db"), NOTES FILL(100));
        scratch_write(scratch("file"), "kept", 4);
        assert_int_equal(mkdir(scratch("directory"), 0700), 0);
        assert_int_equal(symlink(scratch("elsewhere"), scratch("link")), 0);
        static const char *const names[] = { "file", "directory", "link", "source.db" };
        for (size_t i = 0; i < 4; i++)
                assert_copy_fails(scratch("source.db"), scratch(names[i]), -EEXIST,
                        EVENT_WRITE_FAILED, scratch(names[i]));
        kept = scratch_read(scratch("file"), NULL);
        assert_string_equal(kept, "kept");
        assert_false(scratch_exists(scratch("elsewhere")));
}

static int copy_as_nobody(void *userdata) {
        struct Failure failure = { 0 };
        enum CopyMethod method;

        become_nobody();
        return -sqlite_copy(NULL, userdata, scratch("copy.db"), &method, &failure);
}

static void test_target_that_cannot_be_made_is_reported(void **state) {
        const char *source = database_make(scratch("source.db"), NOTES FILL(100));

        (void) state;
        assert_copy_fails(source, scratch("none/copy.db"), -ENOENT, EVENT_WRITE_FAILED,
                scratch("none/copy.db"));
        assert_int_equal(chmod(scratch_directory, 0755), 0);
        assert_int_equal(chmod(source, 0644), 0);
        if (geteuid() == 0)
                assert_int_equal(child_ask(copy_as_nobody, (void *) source), EACCES);
        if (!scratch_mount("64k"))
                return;
        scratch_make_read_only();
        assert_copy_fails(source, scratch("mount/copy.db"), -EROFS, EVENT_WRITE_FAILED,
                scratch("mount/copy.db"));
}

static int copy_up_to_limits(void *userdata) {
        const char *source = userdata, *target = scratch("copy.db");
        struct stat st;

        MUST(stat(source, &st) >= 0);
        for (uint64_t limit = 0; limit < (uint64_t) st.st_size; limit += 60000) {
                struct Failure failure = { 0 };
                enum CopyMethod method;
                int r;

                limit_file_size(limit);
                r = sqlite_copy(NULL, source, target, &method, &failure);
                if (r != -EFBIG || failure.event != EVENT_WRITE_FAILED ||
                        strcmp(failure.path, target) != 0) {
                        (void) fprintf(stderr, "%d: %s\n", r, failure_message(&failure));
                        return 1;
                }
                failure_clear(&failure);
                MUST(unlink(target) >= 0);
        }
        return 0;
}

static void test_limit_of_file_sizes_ends_the_copy_wherever_it_is(void **state) {
        const char *source = database_make(scratch("source.db"), NOTES FILL(5000));
        struct State before = state_of(source, "/nonexistent"), after;

        (void) state;
        assert_int_equal(child_ask(copy_up_to_limits, (void *) source), 0);
        after = state_of(source, "/nonexistent");
        assert_true(is_same(&before, &after));
}

static void test_full_disk_ends_the_copy_wherever_it_is(void **state) {
        static char block[4096];
        bool done = false;
        const char *source, *target;

        (void) state;
        if (!scratch_mount("1m"))
                skip();
        /* In WAL mode, so that the last step has to write too. */
        source = database_make(scratch("source.db"), "PRAGMA journal_mode=WAL;" NOTES FILL(1000));
        target = scratch("mount/copy.db");
        for (unsigned pages = 0; pages < 120 && !done; pages += pages < 60 ? 15 : 1) {
                struct Failure failure = { 0 };
                enum CopyMethod method;
                int fd = open(scratch("mount/fill"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), r;

                while (write_all(fd, block, sizeof block) >= 0)
                        ;
                MUST(ftruncate(fd, lseek(fd, 0, SEEK_END) - (off_t) pages * 4096) >= 0);
                (void) close(fd);
                r = sqlite_copy(NULL, source, target, &method, &failure);
                done = r == 0;
                if (!done &&
                        (r != -ENOSPC || failure.event != EVENT_NO_SPACE ||
                                strcmp(failure.path, target) != 0))
                        fail_msg("%u pages left: %d: %s", pages, r, failure_message(&failure));
                failure_clear(&failure);
                if (done)
                        assert_self_contained(target);
                assert_int_equal(remove_tree_at(AT_FDCWD, scratch("mount/fill")), 0);
                for (size_t i = 0; i < 4 && !done; i++) {
                        static const char *const leftovers[] = { "mount/copy.db",
                                "mount/copy.db-wal", "mount/copy.db-shm", "mount/copy.db-journal" };
                        assert_int_equal(remove_tree_at(AT_FDCWD, scratch(leftovers[i])), 0);
                }
        }
        assert_true(done);
}

static void count_steps(const char *what, uint64_t done, uint64_t total, void *userdata) {
        (void) what;
        MUST(done <= total);
        ++*(unsigned *) userdata;
}

static bool is_cancelled(void *userdata) {
        const unsigned *steps = userdata;

        return *steps >= 2;
}

static void test_cancelled_copy_ends_half_way(void **state) {
        unsigned steps = 0;
        struct Operation operation = {
                .progress = count_steps, .cancelled = is_cancelled, .userdata = &steps
        };
        _cleanup_failure_ struct Failure failure = { 0 };
        enum CopyMethod method = COPY_LINKED;
        struct stat source, target;

        (void) state;
        if (!scratch_mount("16m"))
                skip(); /* a clone has no half */
        database_make(scratch("source.db"), "PRAGMA page_size=512;" NOTES FILL(40000));
        assert_int_equal(sqlite_copy(&operation, scratch("source.db"), scratch("mount/copy.db"),
                                 &method, &failure),
                -EINTR);
        assert_int_equal(failure.event, EVENT_INTERRUPTED);
        assert_int_equal(steps, 2);
        assert_int_equal(stat(scratch("source.db"), &source), 0);
        assert_int_equal(stat(scratch("mount/copy.db"), &target), 0);
        assert_true(target.st_size < source.st_size);
}

/* Damage is for the check of the copy to find: it is copied as it is. */
static void test_damaged_pages_are_copied_as_they_are(void **state) {
        enum CopyMethod method;
        struct stat st;

        (void) state;
        database_make(scratch("source.db"), NOTES FILL(5000));
        assert_int_equal(stat(scratch("source.db"), &st), 0);
        database_damage(scratch("source.db"), st.st_size / 4096 / 2 * 4096, 4096);
        assert_int_equal(
                sqlite_copy(NULL, scratch("source.db"), scratch("copy.db"), &method, NULL), 0);
        sqlite3 *db = database_open(scratch("copy.db"));
        _cleanup_free_ char *verdict = database_text(db, "PRAGMA integrity_check");
        database_close(db);
        assert_string_not_equal(verdict, "ok");
}

static void test_truncated_source_is_not_copied(void **state) {
        struct stat st;

        (void) state;
        database_make(scratch("source.db"), NOTES FILL(5000));
        assert_int_equal(stat(scratch("source.db"), &st), 0);
        assert_int_equal(truncate(scratch("source.db"), st.st_size / 2), 0);
        assert_copy_fails(scratch("source.db"), scratch("copy.db"), -EBADMSG,
                EVENT_DATABASE_INVALID, scratch("source.db"));
        assert_false(scratch_exists(scratch("copy.db")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_what_is_no_database_is_not_copied, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_existing_target_is_not_touched, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_target_that_cannot_be_made_is_reported,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_limit_of_file_sizes_ends_the_copy_wherever_it_is, scratch_setup,
                        scratch_teardown),
                cmocka_unit_test_setup_teardown(test_full_disk_ends_the_copy_wherever_it_is,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_cancelled_copy_ends_half_way, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_damaged_pages_are_copied_as_they_are, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_truncated_source_is_not_copied, scratch_setup, scratch_teardown),
        };
        return cmocka_run_group_tests(tests, scratch_private_mounts, NULL);
}
