/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Acts on a retention plan, under the exclusive backups lock.
 */

#include "lib/backup/retention.h"
#include "lib/base/operation.h"

struct PruneResult {
        struct RetentionPlan *plan;
        uint64_t snapshots_deleted;
        uint64_t archives_deleted;
        uint64_t leftovers_removed; /* .partial-*, .trash-*, .failed-* past their time */
        uint64_t bytes_freed; /* allocated bytes of what only these held (st_blocks, hard links
                                 counted once gone) */
        uint64_t duration_ms;
};

/* Reads names, metadata and state; `policy` NULL: as configured. `now` is the clock's or one given.
 * With dry_run nothing is touched. PRUNE_REFUSED (-ECANCELED) with the result set when nothing
 * valid would be left. Leftovers are cleaned even then. BACKUP_ROOT_MISSING, LOCK_BUSY,
 * WRITE_FAILED … */
int prune_run(const struct Operation *operation, const struct RetentionPolicy *policy, int64_t now,
        bool dry_run, struct PruneResult **ret_result, struct Failure *failure);
struct PruneResult *prune_result_free(struct PruneResult *result);
DEFINE_POINTER_CLEANUP(struct PruneResult *, prune_result_free)
#define _cleanup_prune_result_ _cleanup_(prune_result_freep)
