/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What operations that did not finish left in backups/ and data/tmp: what was being put together
 * and nobody holds, trash, failed snapshots after 7 days (until then they can be looked at), and
 * temporary files beside the states. To be called under the exclusive backups lock.
 */

#include "lib/backup/archive-list.h"
#include "lib/base/operation.h"

/* Each is a LEFTOVER_REMOVED notice, and a .failed-<stamp> later than `now` a SNAPSHOT_IN_FUTURE:
 * it stays. One that cannot be removed does not keep the rest: the first failure is returned, and
 * the numbers, which are added to, hold in any case. */
int leftovers_remove(const struct Operation *operation, int64_t now,
        const struct ArchiveList *archives, uint64_t *removed, uint64_t *bytes,
        struct Failure *failure);
