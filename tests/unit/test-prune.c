/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/backup/prune.h"
#include "lib/backup/removal.h"
#include "lib/backup/state.h"
#include "tests/unit/scratch.h"

#define NOW INT64_C(1775822400) /* 20260410T120000Z */
#define OLD "20240301T060000Z"

static const struct RetentionPolicy nothing_more = { 0 };

/* What was told on the way, and when to stop. */
struct Seen {
        struct {
                enum EventId id;
                char stamp[STAMP_SIZE];
                char *path;
                uint64_t bytes;
        } events[16];
        size_t n;
        size_t cancel_after; /* deletions; 0: never */
};

static void record(const struct Event *event, const char *message, void *userdata) {
        struct Seen *seen = userdata;

        assert_non_null(message);
        assert_true(seen->n < sizeof seen->events / sizeof seen->events[0]);
        seen->events[seen->n].id = event->id;
        if (event->stamp)
                (void) strcpy(seen->events[seen->n].stamp, event->stamp);
        if (event->path)
                seen->events[seen->n].path = strdup(event->path);
        for (size_t i = 0; i < event->n_numbers; i++)
                if (strcmp(event->numbers[i].name, "ATOCORE_BYTES") == 0)
                        seen->events[seen->n].bytes = event->numbers[i].value;
        seen->n++;
}

static bool cancel(void *userdata) {
        const struct Seen *seen = userdata;
        size_t deleted = 0;

        for (size_t i = 0; i < seen->n; i++)
                deleted += seen->events[i].id == EVENT_SNAPSHOT_DELETED;
        return seen->cancel_after > 0 && deleted >= seen->cancel_after;
}

static void seen_clear(struct Seen *seen) {
        for (size_t i = 0; i < seen->n; i++)
                free(seen->events[i].path);
}

struct Fixture {
        struct Layout *layout;
        struct Config config;
        struct Clock clock;
        struct Seen seen;
        struct Operation operation;
        struct Failure failure;
        struct PruneResult *result;
};

static void fixture_clear(struct Fixture *fixture) {
        prune_result_free(fixture->result);
        layout_free(fixture->layout);
        seen_clear(&fixture->seen);
        failure_clear(&fixture->failure);
}

static void fixture_init(struct Fixture *fixture) {
        *fixture = (struct Fixture){ .clock = { .frozen = true, .now = NOW } };
        assert_int_equal(layout_new(scratch_directory, &fixture->layout), 0);
        fixture->operation = (struct Operation){ .layout = fixture->layout,
                .config = &fixture->config,
                .clock = &fixture->clock,
                .program = "test-prune",
                .cancelled = cancel,
                .notice = record,
                .userdata = &fixture->seen };
        assert_int_equal(make_directory_at(AT_FDCWD, fixture->layout->backups), 0);
        assert_int_equal(make_directory_at(AT_FDCWD, fixture->layout->snapshots), 0);
}
#define _cleanup_fixture_ __attribute__((cleanup(fixture_clear)))

static char *path_of(const struct Fixture *fixture, const char *name) {
        char *path = NULL;

        assert_true(asprintf(&path, "%s/%s", fixture->layout->snapshots, name) > 0);
        return path;
}

static void make_snapshot(const struct Fixture *fixture, const char *stamp) {
        static const char text[] = "{\"validation\":{\"valid\":true}}";
        _cleanup_free_ char *path = path_of(fixture, stamp), *metadata = NULL;

        assert_true(asprintf(&metadata, "%s/backup-metadata.json", path) > 0);
        assert_int_equal(make_directory_at(AT_FDCWD, path), 0);
        scratch_write(metadata, text, strlen(text));
}

static bool exists(const struct Fixture *fixture, const char *name) {
        _cleanup_free_ char *path = path_of(fixture, name);

        return scratch_exists(path);
}

static int prune(struct Fixture *fixture, const struct RetentionPolicy *policy, bool dry_run) {
        return prune_run(
                &fixture->operation, policy, NOW, dry_run, &fixture->result, &fixture->failure);
}

static void test_without_a_policy_the_configured_one_counts(void **state) {
        _cleanup_fixture_ struct Fixture fixture;

        (void) state;
        fixture_init(&fixture);
        fixture.config = (struct Config){
                .retention_daily = 3, .retention_weekly = 2, .retention_monthly = 1
        };
        assert_int_equal(prune(&fixture, NULL, true), 0);
        assert_int_equal(fixture.result->plan->policy.daily, 3);
        assert_int_equal(fixture.result->plan->policy.weekly, 2);
        assert_int_equal(fixture.result->plan->policy.monthly, 1);
}

static void test_each_deletion_tells_stamp_path_and_bytes(void **state) {
        _cleanup_fixture_ struct Fixture fixture;
        _cleanup_free_ char *deleted = NULL, *trash = NULL;

        (void) state;
        fixture_init(&fixture);
        make_snapshot(&fixture, OLD);
        make_snapshot(&fixture, "20260410T060000Z");
        make_snapshot(&fixture, ".trash-20230101T000000Z");
        deleted = path_of(&fixture, OLD);
        trash = path_of(&fixture, ".trash-20230101T000000Z");

        assert_int_equal(prune(&fixture, &nothing_more, false), 0);
        assert_int_equal(fixture.seen.n, 2);
        assert_int_equal(fixture.seen.events[0].id, EVENT_LEFTOVER_REMOVED);
        assert_string_equal(fixture.seen.events[0].stamp, "20230101T000000Z");
        assert_string_equal(fixture.seen.events[0].path, trash);
        assert_true(fixture.seen.events[0].bytes > 0);
        assert_int_equal(fixture.seen.events[1].id, EVENT_SNAPSHOT_DELETED);
        assert_string_equal(fixture.seen.events[1].stamp, OLD);
        assert_string_equal(fixture.seen.events[1].path, deleted);
        assert_true(fixture.seen.events[1].bytes > 0);
        assert_int_equal(fixture.result->bytes_freed,
                fixture.seen.events[0].bytes + fixture.seen.events[1].bytes);
}

static void test_a_run_that_is_stopped_tells_what_it_did(void **state) {
        _cleanup_fixture_ struct Fixture fixture;

        (void) state;
        fixture_init(&fixture);
        make_snapshot(&fixture, "20240301T060000Z");
        make_snapshot(&fixture, "20240302T060000Z");
        make_snapshot(&fixture, "20240303T060000Z");
        make_snapshot(&fixture, "20260410T060000Z");
        fixture.seen.cancel_after = 2;
        assert_int_equal(prune(&fixture, &nothing_more, false), -EINTR);
        assert_int_equal(fixture.failure.event, EVENT_INTERRUPTED);
        assert_int_equal(fixture.result->snapshots_deleted, 2);
        assert_true(exists(&fixture, "20240303T060000Z"));
}

static void test_what_cannot_be_listed_makes_no_plan(void **state) {
        _cleanup_fixture_ struct Fixture fixture;

        (void) state;
        fixture_init(&fixture);
        assert_int_equal(rmdir(fixture.layout->snapshots), 0);
        scratch_write(fixture.layout->snapshots, "a file", 6);
        assert_int_equal(prune(&fixture, &nothing_more, false), -ENOTDIR);
        assert_int_equal(fixture.failure.event, EVENT_READ_FAILED);
        assert_null(fixture.result);
}

static void test_trash_of_an_earlier_run_makes_room_for_the_new(void **state) {
        _cleanup_fixture_ struct Fixture fixture;
        _cleanup_close_ int snapshots = -1;
        _cleanup_free_ char *trash = NULL, *file = NULL;

        (void) state;
        fixture_init(&fixture);
        make_snapshot(&fixture, OLD);
        make_snapshot(&fixture, ".trash-" OLD);
        trash = path_of(&fixture, ".trash-" OLD);
        assert_true(asprintf(&file, "%s/of-the-earlier-run", trash) > 0);
        scratch_write(file, "", 0);

        snapshots = open(fixture.layout->snapshots, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(removal_move_to_trash(snapshots, OLD), 0);
        assert_false(exists(&fixture, OLD));
        assert_true(exists(&fixture, ".trash-" OLD));
        assert_false(scratch_exists(file));
        assert_int_equal(removal_move_to_trash(snapshots, OLD), -ENOENT);
}

/* A backup root whose snapshots are on a file system that is not mounted: pins are not lost. */
static void test_where_snapshots_cannot_be_seen_no_state_is_forgotten(void **state) {
        _cleanup_archive_list_ struct ArchiveList *archives = NULL;
        _cleanup_fixture_ struct Fixture fixture;
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int snapshots = -1;

        (void) state;
        fixture_init(&fixture);
        assert_int_equal(archive_list(fixture.layout, &archives, &fixture.failure), 0);
        assert_int_equal(state_set_pinned(fixture.layout, OLD, true, NULL), 0);
        assert_true(asprintf(&path, "%s/" OLD ".json", fixture.layout->state) > 0);

        assert_int_equal(removal_forget(fixture.layout, -1, archives, OLD), 0);
        assert_true(scratch_exists(path));
        snapshots = open(fixture.layout->snapshots, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(removal_forget(fixture.layout, snapshots, archives, OLD), 0);
        assert_false(scratch_exists(path));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_without_a_policy_the_configured_one_counts,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_each_deletion_tells_stamp_path_and_bytes,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_a_run_that_is_stopped_tells_what_it_did,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_cannot_be_listed_makes_no_plan, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_trash_of_an_earlier_run_makes_room_for_the_new,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_where_snapshots_cannot_be_seen_no_state_is_forgotten, scratch_setup,
                        scratch_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
