/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Snapshots: make one, list them, describe one. A snapshot is of files and a database, whatever
 * their schema.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/backup/retention.h"
#include "lib/base/operation.h"

#define SNAPSHOT_PARTIAL_PREFIX ".partial-"
#define SNAPSHOT_FAILED_PREFIX  ".failed-"
#define SNAPSHOT_TRASH_PREFIX   ".trash-"

struct SnapshotOptions {
        bool include_chroma;
        bool pinned;
        const char *label; /* maybe NULL */
};

struct Snapshot {
        char stamp[STAMP_SIZE];
        char *path; /* of the directory */
        /* backup-metadata.json, with pin and validation as backups/state/ has them; NULL when it
         * cannot be read. */
        struct json_object *metadata;
};

/* The one way a backup is made, by atocore-backup and POST /admin/backup alike. On success the
 * snapshot is whole, checked, on disk and published. Failures: DATABASE_MISSING, DATABASE_INVALID,
 * BACKUP_ROOT_MISSING, NO_SPACE, WRITE_FAILED, READ_FAILED, BACKUP_CHECK_FAILED, LOCK_BUSY,
 * INTERRUPTED, OUT_OF_MEMORY; nothing is published then and the staging directory is gone (or is
 * .failed-<stamp> where its check failed). */
int snapshot_create(const struct Operation *operation, const struct SnapshotOptions *options,
        struct Snapshot **ret_snapshot, struct Failure *failure);

/* One by its stamp. STAMP_INVALID (-EINVAL), SNAPSHOT_NOT_FOUND (-ENOENT); metadata that cannot be
 * read is no failure. */
int snapshot_describe(const struct Layout *layout, const char *stamp,
        struct Snapshot **ret_snapshot, struct Failure *failure);

/* All whose name is a stamp, oldest first; one that cannot be read has no metadata. No snapshots
 * directory: none. */
int snapshot_list(const struct Layout *layout, struct Snapshot ***ret_snapshots, size_t *ret_n,
        struct Failure *failure);

/* The newest whose stamp is not later than `now`. SNAPSHOT_NOT_FOUND when there is none.
 * *ret_skipped_future counts the later ones (may be NULL). */
int snapshot_latest(const struct Layout *layout, int64_t now, char ret_stamp[STAMP_SIZE],
        size_t *ret_skipped_future, struct Failure *failure);

/* What its state, else its metadata says. */
bool snapshot_is_valid(const struct Snapshot *snapshot);

/* {"backup_dir","backups":[{"stamp", …metadata}]}, oldest first. NULL when memory ran out. */
struct json_object *snapshot_list_to_json(
        const struct Layout *layout, struct Snapshot *const *snapshots, size_t n);

struct Snapshot *snapshot_free(struct Snapshot *snapshot);
DEFINE_POINTER_CLEANUP(struct Snapshot *, snapshot_free)
#define _cleanup_snapshot_ _cleanup_(snapshot_freep)
void snapshot_list_free(struct Snapshot **snapshots, size_t n);

/* Every entry of backups/snapshots/ as retention sees it, those whose name is no stamp included
 * (but for the dot-names of this module). */
int snapshot_retention_inputs(const struct Layout *layout, struct RetentionInput **ret_inputs,
        size_t *ret_n, struct Failure *failure);
