/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Acts on a retention plan, under the exclusive backups lock.
 */

#include "lib/backup/retention.h"
#include "lib/base/operation.h"

struct PruneResult {
        struct RetentionPlan *plan;     /* of the snapshots */
        struct RetentionPlan *archives; /* of backups/archives, by the same policy */
        struct RetentionPlan *safety;   /* of backups/pre-restore, by a rule of its own */
        bool dry_run;
        uint64_t snapshots_deleted;
        uint64_t archives_deleted; /* by stamp, however many files it has */
        uint64_t safety_deleted;
        uint64_t leftovers_removed; /* .partial-*, .trash-*, .failed-* past their time */
        uint64_t bytes_freed;       /* st_blocks of what only these held: a file with further hard
                                       links counts for the last of them */
        uint64_t duration_ms;
};

/* Reads names, metadata and state; `policy` NULL: as configured. `now` is the clock's or one given.
 * With dry_run nothing is touched or created, and the lock is taken shared.
 *
 * BACKUP_ROOT_MISSING, LOCK_BUSY and what keeps the plan from being made (READ_FAILED, …) leave the
 * result untouched. After that it is set, whatever is returned: PRUNE_REFUSED (-ECANCELED) when
 * nothing valid would be left (no snapshots: neither snapshots nor archives are deleted; no
 * archives: no archive is); INTERRUPTED; else the first failure, which did not keep the rest from
 * being deleted. Leftovers are cleaned in any case. */
int prune_run(const struct Operation *operation, const struct RetentionPolicy *policy, int64_t now,
        bool dry_run, struct PruneResult **ret_result, struct Failure *failure);
struct PruneResult *prune_result_free(struct PruneResult *result);
DEFINE_POINTER_CLEANUP(struct PruneResult *, prune_result_free)
#define _cleanup_prune_result_ _cleanup_(prune_result_freep)

/* The plan of the snapshots, with that of the archives as "archives", that of the safety snapshots
 * as "pre_restore", and the numbers of what was done. NULL when memory ran out; caller puts it. */
struct json_object *prune_result_to_json(const struct PruneResult *result);
