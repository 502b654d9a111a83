/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/check.h"
#include "lib/backup/manifest.h"
#include "lib/backup/metadata.h"
#include "lib/base/lock.h"
#include "tests/unit/backup-fixture.h"

static struct Fixture *current;

static void assert_valid(struct Fixture *f, const struct Snapshot *snapshot) {
        _cleanup_check_report_ struct CheckReport *report = NULL;
        _cleanup_snapshot_ struct Snapshot *described = NULL;

        assert_success(f,
                check_directory(
                        &f->operation, snapshot->path, snapshot->stamp, &report, &f->failure));
        assert_int_equal(report->n_findings, 0);
        assert_success(f, snapshot_describe(f->layout, snapshot->stamp, &described, &f->failure));
        assert_true(json_object_equal(described->metadata, snapshot->metadata));
        assert_string_equal(json_text_of(snapshot->metadata, "stamp"), snapshot->stamp);
        assert_string_equal(json_text_of(snapshot->metadata, "backup_root"), snapshot->path);
}

static int create(struct Fixture *f, struct Snapshot **ret_snapshot) {
        const struct SnapshotOptions options = { .include_chroma = true };

        return snapshot_create(&f->operation, &options, ret_snapshot, &f->failure);
}

static void test_what_is_made_is_whole_and_says_so(void **state) {
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;
        const struct SnapshotOptions options = {
                .include_chroma = true, .pinned = true, .label = "l"
        };

        fixture_fill(f);
        assert_success(f, snapshot_create(&f->operation, &options, &snapshot, &f->failure));
        assert_string_equal(snapshot->stamp, NOW_STAMP);
        assert_valid(f, snapshot);
        assert_string_equal(json_text_of(snapshot->metadata, "label"), "l");
        assert_string_equal(json_text_of(snapshot->metadata, "pinned"), "true");
        assert_string_equal(json_text_of(snapshot->metadata, "chroma_snapshot_files"), "3");
        assert_int_equal(f->n_notices, 0);
        assert_int_equal(scratch_entries(f->layout->snapshots), 1);
}

static void test_stopped_at_any_moment_it_leaves_nothing(void **state) {
        struct Fixture *f = *state;
        size_t stops = 0;

        fixture_fill(f);
        for (size_t at = 1;; at++) {
                _cleanup_snapshot_ struct Snapshot *snapshot = NULL;
                int r;

                fixture_forget(f);
                f->checks = 0;
                f->stop_at = at;
                r = create(f, &snapshot);
                f->stop_at = 0;
                if (r >= 0) {
                        assert_true(f->checks < at);
                        assert_valid(f, snapshot);
                        break;
                }
                assert_int_equal(r, -EINTR);
                assert_int_equal(f->failure.event, EVENT_INTERRUPTED);
                assert_null(snapshot);
                assert_int_equal(scratch_entries(f->layout->snapshots), 0);
                stops++;
        }
        assert_true(stops >= 8);
}

/* Somebody takes the stamp and the two after it, while the copy is being checked. */
static void take_the_stamp(const char *what) {
        if (strcmp(what, "Checking the copy") != 0)
                return;
        for (int i = 0; i < 3; i++) {
                _cleanup_free_ char *path = NULL, *file = NULL;
                char stamp[STAMP_SIZE];

                stamp_format(NOW + i, stamp);
                MUST(asprintf(&path, "%s/%s", current->layout->snapshots, stamp) > 0);
                MUST(asprintf(&file, "%s/theirs", path) > 0);
                MUST(mkdir(path, 0750) >= 0);
                scratch_write(file, "x", 1);
        }
}

static void test_a_stamp_taken_meanwhile_is_left_alone_and_the_next_one_used(void **state) {
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;

        current = f;
        f->progress = take_the_stamp;
        fixture_fill(f);
        snapshot = fixture_create(f, true);
        assert_string_equal(snapshot->stamp, "20260407T060003Z");
        assert_valid(f, snapshot);
        assert_int_equal(scratch_entries(f->layout->snapshots), 4);
        assert_int_equal(scratch_entries(scratch("backups/snapshots/" NOW_STAMP)), 1);
}

static bool locked_by_another(const char *path) {
        struct Operation other = current->operation;
        struct Lock *lock = NULL;
        int r;

        other.lock_wait = 0;
        other.cancelled = NULL;
        r = lock_acquire(path, LOCK_MODE_EXCLUSIVE, &other, &lock, NULL);
        lock_release(lock);
        return r < 0;
}

static size_t seen_copying, seen_checking;

static void look_at_locks(const char *what) {
        if (strcmp(what, "Copying the database") == 0 ||
                strcmp(what, "Copying the vector store") == 0) {
                MUST(locked_by_another(current->layout->ingestion_lock));
                MUST(locked_by_another(current->layout->store_lock));
                MUST(locked_by_another(current->layout->backups_lock));
                MUST(!locked_by_another(current->layout->gate_lock)); /* only passed */
                seen_copying++;
        } else if (strcmp(what, "Checking the copy") == 0) {
                MUST(!locked_by_another(current->layout->ingestion_lock));
                MUST(!locked_by_another(current->layout->store_lock));
                MUST(locked_by_another(current->layout->backups_lock));
                seen_checking++;
        }
}

static void test_locks_are_held_as_long_as_needed_and_no_longer(void **state) {
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;

        current = f;
        f->progress = look_at_locks;
        fixture_fill(f);
        snapshot = fixture_create(f, true);
        assert_true(seen_copying >= 2);
        assert_int_equal(seen_checking, 1);
        assert_false(locked_by_another(f->layout->backups_lock));
}

static void test_without_the_vector_store_ingest_goes_on(void **state) {
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;
        _cleanup_lock_ struct Lock *lock = NULL;

        fixture_fill(f);
        assert_success(f, lock_acquire_store(&f->operation, &lock, &f->failure));
        lock = lock_release(lock);
        assert_success(f,
                lock_acquire(f->layout->ingestion_lock, LOCK_MODE_EXCLUSIVE, &f->operation, &lock,
                        &f->failure));
        snapshot = fixture_create(f, false);
        assert_int_equal(create(f, &snapshot), -EAGAIN);
        assert_int_equal(f->failure.event, EVENT_LOCK_BUSY);
        assert_int_equal(scratch_entries(f->layout->snapshots), 1);
}

static void test_what_fails_its_check_is_kept_for_a_look_and_not_published(void **state) {
        struct Fixture *f = *state;
        struct Snapshot *snapshot = (void *) f;

        fixture_fill(f);
        database_damage(f->layout->database, 4096, 64);
        for (int i = 0; i < 2; i++) {
                fixture_forget(f);
                assert_true(create(f, &snapshot) < 0);
                assert_int_equal(f->failure.event, EVENT_BACKUP_CHECK_FAILED);
                assert_string_equal(f->failure.stamp, NOW_STAMP);
                assert_ptr_equal(snapshot, f);
                assert_int_equal(scratch_entries(f->layout->snapshots), 1);
                assert_true(scratch_exists(
                        scratch("backups/snapshots/.failed-" NOW_STAMP "/db/atocore.db")));
        }
}

static void test_without_a_database_nothing_is_made(void **state) {
        struct Fixture *f = *state;
        struct Snapshot *snapshot = NULL;

        assert_int_equal(create(f, &snapshot), -ENOENT);
        assert_int_equal(f->failure.event, EVENT_DATABASE_MISSING);
        assert_int_equal(scratch_entries(scratch_directory), 1);
        assert_int_equal(scratch_entries(f->layout->backups), 1);
}

static void test_a_state_that_cannot_be_read_costs_nothing(void **state) {
        struct Fixture *f = *state;
        _cleanup_snapshot_ struct Snapshot *first = NULL, *second = NULL;

        fixture_fill(f);
        first = fixture_create(f, true);
        MUST(make_directories(scratch_directory, f->layout->state) == 0);
        MUST(mkdir(scratch("backups/state/" NOW_STAMP ".json"), 0750) >= 0);
        second = fixture_create(f, true);
        assert_valid(f, second);
}

#define ON_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_ROOT(test_what_is_made_is_whole_and_says_so),
                ON_ROOT(test_stopped_at_any_moment_it_leaves_nothing),
                ON_ROOT(test_a_stamp_taken_meanwhile_is_left_alone_and_the_next_one_used),
                ON_ROOT(test_locks_are_held_as_long_as_needed_and_no_longer),
                ON_ROOT(test_without_the_vector_store_ingest_goes_on),
                ON_ROOT(test_what_fails_its_check_is_kept_for_a_look_and_not_published),
                ON_ROOT(test_without_a_database_nothing_is_made),
                ON_ROOT(test_a_state_that_cannot_be_read_costs_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
