/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A drill: a snapshot is restored for real, with all that a restore checks, into a storage root
 * that is there for nothing else, and gone afterwards. What is live is neither read nor touched.
 */

#include "lib/backup/drill-result.h"
#include "lib/base/operation.h"

/* `stamp` NULL: the newest snapshot that counts as valid. `query` as of RestoreOptions. The root is
 * data/tmp/.partial-<stamp>-<random>, locked: what is left of one that died goes with the next.
 *
 * DRILL_FAILED (-ECANCELED) when what was restored could not be served, SNAPSHOT_INVALID and all
 * else that keeps a restore from its end are results, and kept. SNAPSHOT_NOT_FOUND, STAMP_INVALID,
 * LOCK_BUSY, INTERRUPTED and OUT_OF_MEMORY say nothing of the snapshot and are not. *ret_result is
 * set in the first case and on success; the caller clears it. */
int drill_run(const struct Operation *operation, const char *stamp, const char *query,
        struct DrillResult *ret_result, struct Failure *failure);
