/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Making a snapshot. At no point does anything under a stamp's name exist that is not whole,
 * checked and on disk:
 *
 *   staged    .partial-<stamp>-<random>, locked   power gone: a leftover, removed by the next run
 *   checked   the same                            the same
 *   sealed    the same, with SHA256SUMS           the same
 *   synced    the same, all of it on disk         the same
 *   renamed   <stamp>                             the leftover or the snapshot, each whole
 *   synced    <stamp>, its name on disk           the snapshot
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/check-database.h"
#include "lib/backup/check-report.h"
#include "lib/backup/digest-job.h"
#include "lib/backup/manifest.h"
#include "lib/backup/metadata.h"
#include "lib/backup/registry-copy.h"
#include "lib/backup/seal.h"
#include "lib/backup/snapshot.h"
#include "lib/backup/staging.h"
#include "lib/backup/table-counts.h"
#include "lib/backup/vector-store.h"
#include "lib/base/file-io.h"
#include "lib/base/lock.h"
#include "lib/base/sqlite.h"

struct Creation {
        const struct Operation *operation;
        const struct SnapshotOptions *options;
        struct Failure *failure;
        uint64_t started; /* monotonic_ms() */

        struct Lock *store_lock;
        struct Lock *ingestion_lock;
        struct Lock *backups_lock;
        struct Staging staging;
        struct Manifest *manifest;
        struct CheckReport *report; /* of the copied database */
        json_object *counts;
        json_object *warnings;
        struct Metadata metadata;
};

static void creation_clear(struct Creation *creation) {
        /* The staging directory is unlocked last of what it needs, the backups lock after it. */
        staging_discard(&creation->staging);
        manifest_free(creation->manifest);
        check_report_free(creation->report);
        json_object_put(creation->counts);
        json_object_put(creation->warnings);
        lock_release(creation->backups_lock);
        lock_release(creation->ingestion_lock);
        lock_release(creation->store_lock);
}

#define WARN(creation, path, ...)                                                                  \
        metadata_warn((creation)->operation, (creation)->warnings, path, (creation)->failure,      \
                __VA_ARGS__)

static bool has_vector_store(const struct Layout *layout) {
        struct stat st;
        return stat(layout->chroma, &st) >= 0 && S_ISDIR(st.st_mode);
}

static int take_locks(struct Creation *creation) {
        const struct Layout *layout = creation->operation->layout;
        int r;

        r = lock_acquire_store(creation->operation, &creation->store_lock, creation->failure);
        if (r < 0)
                return r;
        /* Over both copies, so that database and vector store are of the same moment. */
        if (creation->metadata.has_chroma) {
                r = lock_acquire(layout->ingestion_lock, LOCK_MODE_EXCLUSIVE, creation->operation,
                        &creation->ingestion_lock, creation->failure);
                if (r < 0)
                        return r;
        }
        return lock_acquire_backups(
                creation->operation, LOCK_MODE_SHARED, &creation->backups_lock, creation->failure);
}

/* Moves on to the second after, as long as a snapshot has this one. */
static int choose_stamp(struct Creation *creation, char ret_stamp[STAMP_SIZE]) {
        struct Clock *clock = creation->operation->clock;
        int64_t now = clock_now(clock);

        for (;;) {
                _cleanup_free_ char *path = NULL;
                struct stat st;
                int r;

                stamp_format(now, ret_stamp);
                if (asprintf(&path, "%s/%s", creation->operation->layout->snapshots, ret_stamp) <
                        0) {
                        path = NULL;
                        return failure_out_of_memory(creation->failure);
                }
                if (lstat(path, &st) < 0)
                        break; /* free, or not to be told: publishing does not replace */
                r = clock_wait_past(clock, now);
                if (r == -EINTR ||
                        r == -ETIME) /* a signal, or the clock was set back: look again */
                        r = 0;
                if (r < 0)
                        return failure_set(creation->failure, EVENT_INTERNAL_ERROR, -r, NULL,
                                "Cannot wait for the next second: %m; check the clock");
                r = operation_check(creation->operation, creation->failure);
                if (r < 0)
                        return r;
                now = clock_now(clock);
        }
        creation->metadata.created_at = now;
        return 0;
}

static int copy_database(struct Creation *creation) {
        _cleanup_free_ char *target = NULL;
        enum CopyMethod method;

        if (mkdirat(creation->staging.fd, "db", DIRECTORY_MODE) < 0)
                return failure_set_write(
                        creation->failure, errno, creation->staging.path, "create a directory in");
        if (asprintf(&target, "%s/" SNAPSHOT_DATABASE, creation->staging.path) < 0) {
                target = NULL;
                return failure_out_of_memory(creation->failure);
        }
        return sqlite_copy(creation->operation, creation->operation->layout->database, target,
                &method, creation->failure);
}

static int copy_registry(struct Creation *creation) {
        return registry_copy(creation->operation, creation->staging.fd, creation->staging.path,
                creation->manifest, creation->warnings, &creation->metadata.has_registry,
                &creation->metadata.registry_bytes, creation->failure);
}

/* The newest snapshot that has a vector store to link to; NULL when there is none. */
static int find_previous(struct Creation *creation, char **ret_path) {
        _cleanup_failure_ struct Failure why = { 0 };
        struct Snapshot **snapshots;
        char *path = NULL;
        size_t n;
        int r;

        r = snapshot_list(creation->operation->layout, &snapshots, &n, &why);
        if (r == -ENOMEM)
                return failure_out_of_memory(creation->failure);
        if (r < 0) { /* costs space, nothing else */
                *ret_path = NULL;
                return WARN(creation, why.path,
                        "Every file of the vector store is copied afresh: %s",
                        failure_message(&why));
        }
        for (size_t i = n; i > 0; i--)
                if (snapshots[i - 1]->metadata &&
                        metadata_is_true(snapshots[i - 1]->metadata, "chroma_snapshot_included")) {
                        path = STEAL(snapshots[i - 1]->path);
                        break;
                }
        snapshot_list_free(snapshots, n);
        *ret_path = path;
        return 0;
}

static int copy_vector_store(struct Creation *creation) {
        _cleanup_free_ char *previous = NULL;
        struct VectorStoreCopy copy;
        int r;

        if (!creation->metadata.has_chroma)
                return creation->options->include_chroma
                        ? WARN(creation, creation->operation->layout->chroma,
                                  "There is no vector store at data/chroma to include")
                        : 0;
        r = find_previous(creation, &previous);
        if (r < 0)
                return r;
        r = vector_store_copy(creation->operation, creation->staging.fd, creation->staging.path,
                previous, creation->manifest, creation->warnings, &copy, creation->failure);
        if (r < 0)
                return r;
        creation->metadata.chroma_files = copy.files;
        creation->metadata.chroma_bytes = copy.bytes;
        return 0;
}

/* Findings of an invalid copy make it .failed-<stamp>, for a look at what happened. */
static int reject(struct Creation *creation, const char *stamp) {
        _cleanup_free_ char *text = finding_text(&creation->report->findings[0]);
        _cleanup_free_ char *kept = NULL;
        const char *name;
        int r;

        if (!text ||
                asprintf(&kept, "%s/" SNAPSHOT_FAILED_PREFIX "%s",
                        creation->operation->layout->snapshots, stamp) < 0) {
                kept = NULL;
                return failure_out_of_memory(creation->failure);
        }
        name = strrchr(kept, '/') + 1;
        /* Power gone: the leftover, or the .failed one with as much of it as had reached the disk.
         * Neither is ever taken for a snapshot. */
        r = staging_publish(&creation->staging, name, creation->failure);
        if (r == -EEXIST) {
                (void) remove_tree_at(creation->staging.parent_fd, name);
                r = staging_publish(&creation->staging, name, creation->failure);
        }
        if (r < 0 && r != -EEXIST)
                return r;
        failure_set_stamp(creation->failure, stamp);
        return failure_set(creation->failure, EVENT_BACKUP_CHECK_FAILED, 0,
                creation->operation->layout->database,
                "The copy of the database failed its check and was not published: %s; the live "
                "database is likely damaged: validate the newest snapshot (atocore-validate "
                "latest) "
                "and restore it; the failed copy is kept as %s for 7 days",
                text, kept);
}

/* The integrity check reads what the digest reads: one goes to the disk, the other to the cache,
 * each on a processor of its own, while the file is being written back. */
static int check_copy(struct Creation *creation, const char *stamp) {
        _cleanup_digest_job_ struct DigestJob job = DIGEST_JOB_INIT;
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s/" SNAPSHOT_DATABASE, creation->staging.path) < 0) {
                path = NULL;
                return failure_out_of_memory(creation->failure);
        }
        job.dir_fd = creation->staging.fd;
        job.path = SNAPSHOT_DATABASE;
        job.sync = true;
        digest_job_start(&job);

        operation_progress(creation->operation, "Checking the copy", 0, 0);
        r = check_database(creation->operation, path, creation->report, creation->failure);
        if (r < 0)
                return r;
        check_report_sort(creation->report);
        if (!creation->report->valid)
                return reject(creation, stamp);
        for (size_t i = 0; i < creation->report->n_findings; i++) {
                _cleanup_free_ char *text = finding_text(&creation->report->findings[i]);
                r = text ? WARN(creation, creation->operation->layout->database, "%s", text)
                         : failure_out_of_memory(creation->failure);
                if (r < 0)
                        return r;
        }
        creation->metadata.validated_at = clock_now(creation->operation->clock);

        r = table_counts(creation->staging.path, creation->counts,
                &creation->metadata.schema_version, creation->failure);
        if (r < 0)
                return r;
        r = digest_job_wait(&job);
        if (r < 0)
                return failure_set_write_at(creation->failure, -r, creation->staging.path,
                        SNAPSHOT_DATABASE, "write back");
        creation->metadata.database_bytes = job.size;
        return manifest_add(creation->manifest, SNAPSHOT_DATABASE, job.digest) < 0
                ? failure_out_of_memory(creation->failure)
                : 0;
}

/* Another backup may have taken the stamp since it was chosen: then everything but the two files
 * that name it stays, and the next free second is taken. */
static int publish(
        struct Creation *creation, char stamp[STAMP_SIZE], struct Snapshot **ret_snapshot) {
        _cleanup_snapshot_ struct Snapshot *snapshot = calloc(1, sizeof *snapshot);
        int r;

        if (!snapshot)
                return failure_out_of_memory(creation->failure);
        for (;;) {
                _cleanup_free_ char *path = NULL;
                _cleanup_json_ json_object *metadata = NULL;

                if (asprintf(&path, "%s/%s", creation->operation->layout->snapshots, stamp) < 0) {
                        path = NULL;
                        return failure_out_of_memory(creation->failure);
                }
                creation->metadata.root = path;
                creation->metadata.duration_ms = monotonic_ms() - creation->started;
                r = seal_snapshot(&creation->staging, creation->manifest, &creation->metadata,
                        creation->report, &metadata, creation->failure);
                if (r < 0)
                        return r;
                r = staging_sync(&creation->staging, creation->failure);
                if (r < 0)
                        return r;
                r = operation_check(creation->operation, creation->failure);
                if (r < 0)
                        return r;
                r = staging_publish(&creation->staging, stamp, creation->failure);
                if (r >= 0) {
                        memcpy(snapshot->stamp, stamp, STAMP_SIZE);
                        snapshot->path = STEAL(path);
                        snapshot->metadata = STEAL(metadata);
                        *ret_snapshot = STEAL(snapshot);
                        return 0;
                }
                if (r != -EEXIST)
                        return r;
                r = unseal_snapshot(&creation->staging, creation->failure);
                if (r < 0)
                        return r;
                r = choose_stamp(creation, stamp);
                if (r < 0)
                        return r;
        }
}

static int create(struct Creation *creation, struct Snapshot **ret_snapshot) {
        static int (*const steps[])(struct Creation *) = {
                copy_database,
                copy_vector_store,
                copy_registry,
        };
        const struct Layout *layout = creation->operation->layout;
        char stamp[STAMP_SIZE];
        struct stat st;
        int r;

        if (stat(layout->database, &st) < 0 && errno == ENOENT)
                return failure_set(creation->failure, EVENT_DATABASE_MISSING, ENOENT,
                        layout->database,
                        "There is no database at %s to back up; check root= and that the storage "
                        "root is mounted",
                        layout->database);
        r = staging_check_root(layout, creation->failure);
        if (r < 0)
                return r;
        creation->metadata.has_chroma =
                creation->options->include_chroma && has_vector_store(layout);
        r = take_locks(creation);
        if (r < 0)
                return r;
        staging_clean_up(creation->operation, layout->snapshots);
        r = choose_stamp(creation, stamp);
        if (r < 0)
                return r;
        r = staging_create(
                layout->snapshots, STAGING_DIRECTORY, stamp, &creation->staging, creation->failure);
        for (size_t i = 0; r >= 0 && i < sizeof steps / sizeof steps[0]; i++) {
                r = operation_check(creation->operation, creation->failure);
                if (r >= 0)
                        r = steps[i](creation);
        }
        if (r < 0)
                return r;
        /* Everything is copied: ingest and the like may go on while the copy is checked. */
        creation->ingestion_lock = lock_release(creation->ingestion_lock);
        creation->store_lock = lock_release(creation->store_lock);

        r = check_copy(creation, stamp);
        if (r < 0)
                return r;
        return publish(creation, stamp, ret_snapshot);
}

int snapshot_create(const struct Operation *operation, const struct SnapshotOptions *options,
        struct Snapshot **ret_snapshot, struct Failure *failure) {
        _cleanup_(creation_clear) struct Creation creation = {
                .operation = operation,
                .options = options,
                .failure = failure,
                .started = monotonic_ms(),
                .staging = STAGING_INIT,
                .manifest = manifest_new(),
                .report = check_report_new(""),
                .counts = json_object_new_object(),
                .warnings = json_object_new_array(),
        };

        if (!creation.manifest || !creation.report || !creation.counts || !creation.warnings)
                return failure_out_of_memory(failure);
        creation.metadata.label = options->label;
        creation.metadata.pinned = options->pinned;
        creation.metadata.counts = creation.counts;
        creation.metadata.warnings = creation.warnings;
        return create(&creation, ret_snapshot);
}
