/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which snapshots to keep. Pure: (snapshots, policy, now) → plan with reasons; no disk, no clock.
 *
 * All in UTC, counted over what exists, so that an outage never deletes. Reasons:
 *   recent        younger than 24 hours
 *   pinned
 *   newest-valid  the newest valid snapshot
 *   daily         the winner of each of the newest days that have one
 *   weekly        ISO weeks; the winner of the week's Sunday; an ended week without a Sunday one is
 *                 stood for by the winner of its last day that has one; a running one counts for
 * nothing monthly       the winner of the month's 1st, else of its first day that has one
 *   unreadable    metadata cannot be read: kept, counted nowhere
 * Within a period valid beats invalid, then with vector store beats without, then the newest wins.
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
};

struct RetentionEntry {
        char name[256];
        enum RetentionVerdict verdict;
        unsigned reasons; /* RetentionReason flags of a kept one */
};

struct RetentionPlan {
        int64_t now;
        struct RetentionPolicy policy;
        bool refused;                   /* nothing valid would be left: nothing is to be deleted */
        struct RetentionEntry *entries; /* sorted by name, so oldest first */
        size_t n_entries;
};

/* -ENOMEM is the only error. `inputs` need not be sorted. When refused, all that would be deleted
 * is RETENTION_KEEP without a reason. */
int retention_plan(const struct RetentionInput *inputs, size_t n_inputs,
        const struct RetentionPolicy *policy, int64_t now, struct RetentionPlan **ret_plan);
struct RetentionPlan *retention_plan_free(struct RetentionPlan *plan);
DEFINE_POINTER_CLEANUP(struct RetentionPlan *, retention_plan_free)
#define _cleanup_retention_plan_ _cleanup_(retention_plan_freep)

/* "daily", …: the name of one flag. */
const char *retention_reason_name(enum RetentionReason reason);

/* {"now","policy","keep":[{"stamp","reasons"}],"delete":[{"stamp"}],"quarantined","ignored","dry_run"}.
 * NULL when memory ran out; caller puts it. */
struct json_object *retention_plan_to_json(const struct RetentionPlan *plan, bool dry_run);
