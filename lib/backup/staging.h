/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The directory or file in which something is put together: .partial-<stamp>-<random>, locked by
 * its maker, beside what it is to become by one rename; or it goes.
 */

#include "lib/base/failure.h"
#include "lib/base/operation.h"

enum StagingKind {
        STAGING_DIRECTORY,
        STAGING_FILE,
};

struct Staging {
        enum StagingKind kind;
        char *path; /* absolute; NULL once published */
        int fd;     /* of the directory or file; bears the lock */
        int parent_fd;
};

#define STAGING_INIT                                                                               \
        { .fd = -1, .parent_fd = -1 }

/* BACKUP_ROOT_MISSING (-ENOENT) when backups/ is not there. It is never made: where it is a mount
 * that is missing, what we made would lie on the file system below and vanish under the mount. */
int staging_check_root(const struct Layout *layout, struct Failure *failure);

/* In `directory`, which is made when absent; what it is in must be there. */
int staging_create(const char *directory, enum StagingKind kind, const char *stamp,
        struct Staging *ret_staging, struct Failure *failure);

/* fsync of the file, or of every file that was written in the directory (those linked from
 * elsewhere were synced there) and every directory, the staging directory last. */
int staging_sync(struct Staging *staging, struct Failure *failure);

/* Renames to `name` without replacing, and syncs the parent. -EEXIST, without a failure, when the
 * name is taken: what is staged is then as it was. */
int staging_publish(struct Staging *staging, const char *name, struct Failure *failure);

/* Removes what was not published. */
void staging_discard(struct Staging *staging);
#define _cleanup_staging_ _cleanup_(staging_discard)

/* What is staged in `directory` and nobody holds is left of runs that died: removes it, each with a
 * LEFTOVER_REMOVED notice, and adds to the numbers. One that cannot be removed does not keep the
 * others. Safe at any time: what is being made is locked. */
int staging_remove_abandoned(const struct Operation *operation, const char *directory,
        uint64_t *removed, uint64_t *bytes, struct Failure *failure);

/* The same before something is staged there: what earlier runs left must not keep this one from its
 * work, so a failure is a BACKUP_WARNING notice. */
void staging_clean_up(const struct Operation *operation, const char *directory);
