/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How a drill ended, and how the last one did: data/last-drill.json, {"stamp","drilled_at",
 * "seconds","ok","error"}. Apart from drill.h, which needs all that a restore needs: the daemon
 * only tells of it.
 */

#include <json-c/json.h>
#include <stdint.h>

#include "lib/base/cleanup.h"
#include "lib/base/layout.h"
#include "lib/base/stamp.h"

struct DrillResult {
        char stamp[STAMP_SIZE];
        int64_t drilled_at;
        uint64_t duration_ms;      /* of the restore with its checks */
        const char *error;         /* code of what was wrong; static; NULL: the drill passed */
        struct json_object *proof; /* what the checks found; NULL where it did not come to that */
};

void drill_result_clear(struct DrillResult *result);
#define _cleanup_drill_result_ _cleanup_(drill_result_clear)

/* {"stamp","drilled_at","seconds","ok","error"}, as it is kept. NULL when memory ran out. */
struct json_object *drill_result_to_json(const struct DrillResult *result);

/* The last result, NULL where there is none or none that can be read. Only -ENOMEM. */
int drill_last(const struct Layout *layout, struct json_object **ret_result);
