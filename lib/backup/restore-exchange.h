/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The exchange of staged and live data, one rename each. Both ways can be gone again from wherever
 * they were left: on which side a thing is, its inode tells.
 */

#include "lib/backup/restore.h"
#include "lib/base/failure.h"

/* What is staged becomes live, what was live is where it was staged. On disk when it returns. */
int restore_exchange(struct Restore *restore, struct Failure *failure);
/* And back. */
int restore_exchange_back(struct Restore *restore, struct Failure *failure);
/* Removes what lies where things are staged: after the way back, or before anything is staged. */
int restore_discard(const struct Restore *restore, struct Failure *failure);
