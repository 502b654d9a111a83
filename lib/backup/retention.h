/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which snapshots to keep. Pure: (snapshots, policy, now) → plan with reasons; no disk, no clock.
 *
 * All in UTC, counted over what exists, so that an outage never deletes. What is named by no stamp
 * is ignored, what is stamped later than now is quarantined; both are counted nowhere, and so is
 * what cannot be read. A snapshot is kept when any rule keeps it:
 *
 * - recent: younger than 24 hours
 * - pinned
 * - newest-valid: the newest valid one
 * - daily: the winner of each of the newest days that have one
 * - weekly: ISO weeks, the newest that count; a week's winner is of its Sunday; an ended week
 *   without a Sunday one is stood for by the winner of its last day that has one; a running one
 *   counts for nothing
 * - monthly: the winner of each of the newest months' 1st, or of its first day that has one
 * - unreadable: its metadata cannot be read
 *
 * Within a day valid beats invalid, then with the vector store beats without, then the newest wins.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"
#include "lib/base/stamp.h"

struct RetentionPolicy {
        uint64_t daily;
        uint64_t weekly;
        uint64_t monthly;
};

struct RetentionInput {
        char name[256]; /* directory name; a stamp or not */
        bool foreign;   /* no directory: ignored, even when named by a stamp */
        bool readable;  /* metadata could be read */
        bool valid;
        bool pinned;
        bool has_vector_store;
};

enum RetentionVerdict {
        RETENTION_KEEP,
        RETENTION_DELETE,
        RETENTION_QUARANTINED, /* stamp later than now: never deleted, counted nowhere */
        RETENTION_IGNORED,     /* name is no stamp */
};

enum RetentionReason {
        REASON_RECENT = 1 << 0,
        REASON_PINNED = 1 << 1,
        REASON_NEWEST_VALID = 1 << 2,
        REASON_DAILY = 1 << 3,
        REASON_WEEKLY = 1 << 4,
        REASON_MONTHLY = 1 << 5,
        REASON_UNREADABLE = 1 << 6,
        REASON_NEWEST = 1 << 7, /* of safety snapshots */
};

/* The reasons in the order in which they are listed: for (r = 1; r < REASON_END; r <<= 1). */
#define REASON_END (REASON_NEWEST << 1)

struct RetentionEntry {
        char name[256];
        enum RetentionVerdict verdict;
        unsigned reasons; /* RetentionReason flags of a kept one */
};

struct RetentionPlan {
        int64_t now; /* within what a stamp can express */
        struct RetentionPolicy policy;
        bool safety;                    /* of safety snapshots: `policy` is nothing to them */
        bool refused;                   /* nothing valid would be left: nothing is to be deleted */
        struct RetentionEntry *entries; /* sorted by name, so oldest first */
        size_t n_entries;
};

/* -ENOMEM is the only error. `inputs` need not be sorted. When refused, all that would be deleted
 * is RETENTION_KEEP without a reason. With nothing to delete nothing is refused. */
int retention_plan(const struct RetentionInput *inputs, size_t n_inputs,
        const struct RetentionPolicy *policy, int64_t now, struct RetentionPlan **ret_plan);
/* Of the safety snapshots that restores leave in backups/pre-restore: the 3 newest are kept, and
 * those younger than 30 days. `stamps` are sorted. -ENOMEM. */
int retention_plan_safety(
        const char (*stamps)[STAMP_SIZE], size_t n, int64_t now, struct RetentionPlan **ret_plan);
struct RetentionPlan *retention_plan_free(struct RetentionPlan *plan);
DEFINE_POINTER_CLEANUP(struct RetentionPlan *, retention_plan_free)
#define _cleanup_retention_plan_ _cleanup_(retention_plan_freep)

/* All that would be deleted is kept, without a reason; `refused` says whether there was any. */
void retention_plan_refuse(struct RetentionPlan *plan);

size_t retention_plan_count(const struct RetentionPlan *plan, enum RetentionVerdict verdict);

/* "daily", …: the name of one flag. */
const char *retention_reason_name(enum RetentionReason reason);

/* {"now","policy","keep":[{"stamp","reasons"}],"delete":[{"stamp"}],"quarantined":[name],
 * "ignored":[name],"refused","dry_run"}; bytes of a name that are no UTF-8 read \xHH.
 * NULL when memory ran out; caller puts it. */
struct json_object *retention_plan_to_json(const struct RetentionPlan *plan, bool dry_run);
