/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/prune.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/archive-list.h"
#include "lib/backup/leftovers.h"
#include "lib/backup/removal.h"
#include "lib/backup/restore-safety.h"
#include "lib/backup/snapshot.h"
#include "lib/backup/staging.h"
#include "lib/base/file-io.h"
#include "lib/base/json-build.h"
#include "lib/base/json-document.h"
#include "lib/base/lock.h"

struct PruneResult *prune_result_free(struct PruneResult *result) {
        if (!result)
                return NULL;
        retention_plan_free(result->plan);
        retention_plan_free(result->archives);
        retention_plan_free(result->safety);
        free(result);
        return NULL;
}

/* A dry run creates nothing: where there is no lock file yet, there is nobody to wait for. */
static int take_lock(const struct Operation *operation, bool dry_run, struct Lock **ret_lock,
        struct Failure *failure) {
        const char *path = operation->layout->backups_lock;
        int r;

        r = staging_check_root(operation->layout, failure);
        if (r < 0)
                return r;
        if (dry_run && access(path, F_OK) < 0 && errno == ENOENT)
                return lock_refuse_interrupted(operation->layout, failure);
        return lock_acquire_backups(
                operation, dry_run ? LOCK_MODE_SHARED : LOCK_MODE_EXCLUSIVE, ret_lock, failure);
}

static int make_plans(const struct Operation *operation, const struct RetentionPolicy *policy,
        int64_t now, struct ArchiveList **ret_archives, struct PruneResult *result,
        struct Failure *failure) {
        _cleanup_free_ struct RetentionInput *snapshots = NULL, *archives = NULL;
        _cleanup_free_ char(*safety)[STAMP_SIZE] = NULL;
        size_t n_snapshots, n_archives, n_safety;
        int r;

        r = snapshot_retention_inputs(operation->layout, &snapshots, &n_snapshots, failure);
        if (r < 0)
                return r;
        r = archive_list(operation->layout, ret_archives, failure);
        if (r < 0)
                return r;
        r = archive_retention_inputs(operation->layout, *ret_archives, snapshots, n_snapshots,
                &archives, &n_archives, failure);
        if (r < 0)
                return r;
        r = restore_safety_list(operation->layout, &safety, &n_safety, failure);
        if (r < 0)
                return r;
        if (retention_plan(snapshots, n_snapshots, policy, now, &result->plan) < 0 ||
                retention_plan(archives, n_archives, policy, now, &result->archives) < 0 ||
                retention_plan_safety(
                        (const char(*)[STAMP_SIZE]) safety, n_safety, now, &result->safety) < 0)
                return failure_out_of_memory(failure);
        /* Where no snapshot is valid, one of the others may be all that is left. */
        if (result->plan->refused) {
                retention_plan_refuse(result->archives);
                retention_plan_refuse(result->safety);
        }
        return 0;
}

struct Prune {
        const struct Operation *operation;
        int snapshots_fd; /* -1: there are none */
        int archives_fd;
        int safety_fd;
        struct ArchiveList *archives; /* what is deleted loses its stamp here */
        struct PruneResult *result;
};

static void report_deleted(const struct Prune *prune, enum EventId id, const char *what,
        const char *stamp, const char *path, uint64_t bytes) {
        operation_notice(prune->operation,
                &(const struct Event){ .id = id,
                        .stamp = stamp,
                        .path = path,
                        .numbers = &(const struct EventNumber){ "ATOCORE_BYTES", bytes },
                        .n_numbers = 1 },
                "Deleted %s %s, %" PRIu64 " bytes freed", what, stamp, bytes);
}

static int forget(const struct Prune *prune, const char *stamp, struct Failure *failure) {
        const struct Layout *layout = prune->operation->layout;
        int r = removal_forget(layout, prune->snapshots_fd, prune->archives, stamp);

        return r < 0 ? failure_set_write(failure, -r, layout->state, "remove a state in") : 0;
}

/*
 * Power gone …
 * - before the rename, or before it is on disk: the snapshot, whole, under its name or as
 *   .trash-<stamp>
 * - before the state is removed: .trash-<stamp>, whole, and the state; both go with the next run
 * - before the tree is removed: .trash-<stamp> or a part of it, which goes with the next run
 * Under the name of a snapshot there is all of it or nothing at any time.
 */
static int delete_tree(const struct Prune *prune, int dir_fd, const char *directory,
        const char *stamp, const char *what, uint64_t *deleted, struct Failure *failure) {
        _cleanup_free_ char *path = NULL, *trash = NULL;
        uint64_t bytes = 0;
        int r, r_state = 0;

        if (asprintf(&path, "%s/%s", directory, stamp) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        if (asprintf(&trash, "%s/" SNAPSHOT_TRASH_PREFIX "%s", directory, stamp) < 0) {
                trash = NULL;
                return failure_out_of_memory(failure);
        }

        r = removal_move_to_trash(dir_fd, stamp);
        if (r < 0)
                return failure_set_write(failure, -r, path, "delete");
        (*deleted)++;
        if (dir_fd == prune->snapshots_fd) /* a safety snapshot has none */
                r_state = forget(prune, stamp, failure);
        r = removal_remove_tree(dir_fd, strrchr(trash, '/') + 1, &bytes);
        prune->result->bytes_freed += bytes;
        report_deleted(prune, EVENT_SNAPSHOT_DELETED, what, stamp, path, bytes);
        if (r < 0)
                return failure_set_write(failure, -r, trash, "remove");
        return r_state;
}

static int delete_snapshot(const struct Prune *prune, const char *stamp, struct Failure *failure) {
        return delete_tree(prune, prune->snapshots_fd, prune->operation->layout->snapshots, stamp,
                "snapshot", &prune->result->snapshots_deleted, failure);
}

static int delete_safety(const struct Prune *prune, const char *stamp, struct Failure *failure) {
        return delete_tree(prune, prune->safety_fd, prune->operation->layout->pre_restore, stamp,
                "safety snapshot", &prune->result->safety_deleted, failure);
}

/*
 * A file goes in one step, so power can be gone only between two files of one archive (the rest is
 * an archive still, and goes with the next run) or before the state is removed (it stays, a few
 * bytes that nothing reads).
 */
static int delete_archive(const struct Prune *prune, const char *stamp, struct Failure *failure) {
        const char *directory = prune->operation->layout->archives;
        struct ArchiveList *list = prune->archives;
        const struct ArchiveFile *first = archive_list_find(list, stamp);
        _cleanup_free_ char *path = NULL;
        uint64_t bytes = 0;
        int r = 0;

        for (size_t i = (size_t) (first - list->files);
                i < list->n_files && strncmp(list->files[i].name, stamp, strlen(stamp)) == 0; i++) {
                struct ArchiveFile *file = &list->files[i];
                uint64_t held;

                if (file->stamp[0] == '\0')
                        continue;
                free(path);
                if (asprintf(&path, "%s/%s", directory, file->name) < 0) {
                        path = NULL;
                        return failure_out_of_memory(failure);
                }
                r = removal_remove_file(prune->archives_fd, file->name, &held);
                if (r < 0)
                        return failure_set_write(failure, -r, path, "delete");
                file->stamp[0] = '\0'; /* no archive any more */
                bytes += held;
        }
        r = sync_directory_at(prune->archives_fd, ".");
        if (r < 0)
                return failure_set_write(failure, -r, directory, "sync");

        prune->result->archives_deleted++;
        prune->result->bytes_freed += bytes;
        report_deleted(prune, EVENT_ARCHIVE_DELETED, "archive", stamp, path, bytes);
        return forget(prune, stamp, failure);
}

/* One that fails does not keep the others; a signal does. */
static int delete_planned(const struct Prune *prune, const struct RetentionPlan *plan,
        int (*delete_one)(const struct Prune *prune, const char *stamp, struct Failure *failure),
        const char *what, struct Failure *failure) {
        size_t total = retention_plan_count(plan, RETENTION_DELETE), done = 0;
        int r = 0;

        for (size_t i = 0; i < plan->n_entries; i++) {
                int one;

                if (plan->entries[i].verdict != RETENTION_DELETE)
                        continue;
                one = operation_check(prune->operation, failure);
                if (one < 0)
                        return one;
                operation_progress(prune->operation, what, done++, total);
                one = delete_one(prune, plan->entries[i].name, failure);
                r = r < 0 ? r : one;
        }
        return r;
}

/* Archives first: what a state says is needed until the last of a stamp is gone. */
static int delete_all(const struct Operation *operation, struct ArchiveList *archives,
        struct PruneResult *result, struct Failure *failure) {
        const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
        _cleanup_close_ int snapshots_fd = open(operation->layout->snapshots, flags);
        _cleanup_close_ int archives_fd = open(operation->layout->archives, flags);
        _cleanup_close_ int safety_fd = open(operation->layout->pre_restore, flags);
        const struct Prune prune = { operation, snapshots_fd, archives_fd, safety_fd, archives,
                result };
        int r, one;

        r = delete_planned(&prune, result->archives, delete_archive, "Deleting archives", failure);
        if (r == -EINTR)
                return r;
        one = delete_planned(&prune, result->plan, delete_snapshot, "Deleting snapshots", failure);
        r = r < 0 ? r : one;
        if (r == -EINTR)
                return r;
        one = delete_planned(
                &prune, result->safety, delete_safety, "Deleting safety snapshots", failure);
        return r < 0 ? r : one;
}

static int refusal(
        const struct Layout *layout, const struct PruneResult *result, struct Failure *failure) {
        const struct RetentionPlan *plan = result->plan->refused ? result->plan : result->archives;
        const char *directory = plan == result->plan ? layout->snapshots : layout->archives;

        if (!plan->refused)
                return 0;
        return failure_set(failure, EVENT_PRUNE_REFUSED, ECANCELED, directory,
                "Nothing is deleted from %s: nothing valid would be left there; take a new backup "
                "(systemctl start atocore-backup) and see what atocore-validate --all says",
                directory);
}

static void report_future(const struct Operation *operation, const struct RetentionPlan *plan) {
        size_t n = retention_plan_count(plan, RETENTION_QUARANTINED);
        const struct RetentionEntry *entry = plan->entries;

        if (n == 0)
                return;
        while (entry->verdict != RETENTION_QUARANTINED)
                entry++;
        operation_notice(operation,
                &(const struct Event){ .id = EVENT_SNAPSHOT_IN_FUTURE, .stamp = entry->name },
                "%zu snapshots are dated later than now, from %s on; they are kept and not "
                "counted, check the clock",
                n, entry->name);
}

static int act(const struct Operation *operation, struct ArchiveList *archives,
        struct PruneResult *result, struct Failure *failure) {
        int r, one;

        report_future(operation, result->plan);
        r = refusal(operation->layout, result, failure);
        one = leftovers_remove(operation, result->plan->now, archives, &result->leftovers_removed,
                &result->bytes_freed, failure);
        r = r < 0 ? r : one;
        one = delete_all(operation, archives, result, failure);
        return r < 0 ? r : one;
}

int prune_run(const struct Operation *operation, const struct RetentionPolicy *policy, int64_t now,
        bool dry_run, struct PruneResult **ret_result, struct Failure *failure) {
        const struct RetentionPolicy configured = {
                .daily = operation->config->retention_daily,
                .weekly = operation->config->retention_weekly,
                .monthly = operation->config->retention_monthly,
        };
        _cleanup_prune_result_ struct PruneResult *result = calloc(1, sizeof *result);
        _cleanup_archive_list_ struct ArchiveList *archives = NULL;
        _cleanup_lock_ struct Lock *lock = NULL;
        uint64_t start = monotonic_ms();
        int r;

        if (!result)
                return failure_out_of_memory(failure);
        result->dry_run = dry_run;
        r = take_lock(operation, dry_run, &lock, failure);
        if (r < 0)
                return r;
        r = make_plans(operation, policy ? policy : &configured, now, &archives, result, failure);
        if (r < 0)
                return r;

        r = dry_run ? refusal(operation->layout, result, failure)
                    : act(operation, archives, result, failure);
        result->duration_ms = monotonic_ms() - start;
        *ret_result = STEAL(result);
        return r;
}

struct json_object *prune_result_to_json(const struct PruneResult *result) {
        _cleanup_json_ struct json_object *object =
                retention_plan_to_json(result->plan, result->dry_run);
        const struct {
                const char *name;
                uint64_t value;
        } numbers[] = {
                { "snapshots_deleted", result->snapshots_deleted },
                { "archives_deleted", result->archives_deleted },
                { "pre_restore_deleted", result->safety_deleted },
                { "leftovers_removed", result->leftovers_removed },
                { "bytes_freed", result->bytes_freed },
                { "duration_ms", result->duration_ms },
        };

        if (!object ||
                !json_set(object, "archives",
                        retention_plan_to_json(result->archives, result->dry_run)) ||
                !json_set(object, "pre_restore",
                        retention_plan_to_json(result->safety, result->dry_run)))
                return NULL;
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
                if (!json_set(object, numbers[i].name, json_object_new_uint64(numbers[i].value)))
                        return NULL;
        return STEAL(object);
}
