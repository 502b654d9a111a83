/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The file in which an archive is put together: backups/archives/.partial-<stamp>-<random>, locked
 * by its maker. It becomes an archive by one rename, or goes.
 */

#include "lib/base/failure.h"
#include "lib/base/operation.h"

struct ArchiveStaging {
        char *path; /* absolute; NULL once published */
        int fd;     /* of the file; bears the lock */
        int parent_fd;
};

#define ARCHIVE_STAGING_INIT                                                                       \
        { .fd = -1, .parent_fd = -1 }

/* The backup root must be there (BACKUP_ROOT_MISSING); backups/archives/ is made when absent. */
int archive_staging_open(const struct Operation *operation, struct ArchiveStaging *ret_staging,
        struct Failure *failure);

/* The staging file itself. */
int archive_staging_create(const struct Operation *operation, struct ArchiveStaging *staging,
        const char *stamp, struct Failure *failure);

/* fsync, rename to `name` without replacing, fsync of the directory. -EEXIST, without a failure,
 * when the name is taken: the staging file is then as it was. */
int archive_staging_publish(
        struct ArchiveStaging *staging, const char *name, struct Failure *failure);

/* Removes what was not published. */
void archive_staging_discard(struct ArchiveStaging *staging);
#define _cleanup_archive_staging_ _cleanup_(archive_staging_discard)

/* Staging files that nobody holds are left of runs that died: removes them, each with a
 * LEFTOVER_REMOVED notice, and adds to the numbers. Safe at any time: what is being made is
 * locked. */
int archive_staging_remove_abandoned(const struct Operation *operation, uint64_t *removed,
        uint64_t *bytes, struct Failure *failure);
