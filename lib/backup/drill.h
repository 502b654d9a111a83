/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A drill: a snapshot is restored for real, with all that a restore checks, into a storage root
 * that is there for nothing else, and gone afterwards. What is live is neither read nor touched.
 * The last result is kept in data/last-drill.json: {"stamp","drilled_at","seconds","ok","error"}.
 */

#include <json-c/json.h>

#include "lib/base/operation.h"

struct DrillResult {
        char stamp[STAMP_SIZE];
        int64_t drilled_at;
        uint64_t duration_ms;      /* of the restore with its checks */
        const char *error;         /* code of what was wrong; static; NULL: the drill passed */
        struct json_object *proof; /* what the checks found; NULL where it did not come to that */
};

/* `stamp` NULL: the newest snapshot that counts as valid. `query` as of RestoreOptions. The root is
 * data/tmp/.partial-<stamp>-<random>, locked: what is left of one that died goes with the next.
 *
 * DRILL_FAILED (-ECANCELED) when what was restored could not be served, SNAPSHOT_INVALID and all
 * else that keeps a restore from its end are results, and kept. SNAPSHOT_NOT_FOUND, STAMP_INVALID,
 * LOCK_BUSY, INTERRUPTED and OUT_OF_MEMORY say nothing of the snapshot and are not. *ret_result is
 * set in the first case and on success; the caller clears it. */
int drill_run(const struct Operation *operation, const char *stamp, const char *query,
        struct DrillResult *ret_result, struct Failure *failure);
void drill_result_clear(struct DrillResult *result);
#define _cleanup_drill_result_ _cleanup_(drill_result_clear)

/* {"stamp","drilled_at","seconds","ok","error"}, as it is kept. NULL when memory ran out. */
struct json_object *drill_result_to_json(const struct DrillResult *result);

/* The last result, NULL where there is none or none that can be read. Only -ENOMEM. */
int drill_last(const struct Layout *layout, struct json_object **ret_result);
