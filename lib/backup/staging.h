/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The directory in which a snapshot is put together: backups/snapshots/.partial-<stamp>-<random>,
 * locked by its maker. It becomes a snapshot by one rename, or goes.
 */

#include "lib/base/failure.h"
#include "lib/base/operation.h"

struct Staging {
        char *path; /* absolute */
        int dir_fd; /* of the directory; bears the lock */
        int parent_fd;
};

#define STAGING_INIT                                                                               \
        { .dir_fd = -1, .parent_fd = -1 }

/* BACKUP_ROOT_MISSING (-ENOENT) when backups/ is not there. It is never made: where it is a mount
 * that is missing, what we made would lie on the file system below and vanish under the mount. */
int staging_check_root(const struct Layout *layout, struct Failure *failure);

/* The backup root must be there; backups/snapshots/ is made when absent. */
int staging_create(const struct Operation *operation, const char *stamp,
        struct Staging *ret_staging, struct Failure *failure);

/* fsync of every file that was written here (those linked from elsewhere were synced there) and
 * every directory, the staging directory last. */
int staging_sync(struct Staging *staging, struct Failure *failure);

/* Renames to `name` without replacing, and syncs the parent. -EEXIST, without a failure, when the
 * name is taken: the staging directory is then as it was. */
int staging_publish(struct Staging *staging, const char *name, struct Failure *failure);

/* Removes what was not published. */
void staging_discard(struct Staging *staging);
#define _cleanup_staging_ _cleanup_(staging_discard)

/* Staging directories that nobody holds are left of runs that died: removes them, each with a
 * LEFTOVER_REMOVED notice. Safe at any time: what is being made is locked. */
int staging_remove_abandoned(
        const struct Operation *operation, uint64_t *ret_removed, struct Failure *failure);
