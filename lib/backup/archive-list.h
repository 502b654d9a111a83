/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What lies in backups/archives: <stamp>.tar, <stamp>.tar.zst, <stamp>.tar.zst.age and the like.
 * All files of a stamp are one archive to retention; what is inside is not looked at here.
 */

#include <stddef.h>

#include "lib/backup/retention.h"
#include "lib/base/failure.h"
#include "lib/base/layout.h"

struct ArchiveFile {
        char name[256];
        char stamp[STAMP_SIZE]; /* "" for a name that is no archive's, or no regular file */
};

struct ArchiveList {
        struct ArchiveFile *files; /* sorted by name, but for dot-names */
        size_t n_files;
};

/* No directory: an empty list. READ_FAILED, PERMISSION_DENIED. */
int archive_list(
        const struct Layout *layout, struct ArchiveList **ret_list, struct Failure *failure);
struct ArchiveList *archive_list_free(struct ArchiveList *list);
DEFINE_POINTER_CLEANUP(struct ArchiveList *, archive_list_free)
#define _cleanup_archive_list_ _cleanup_(archive_list_freep)

/* The first file of the stamp, which the others follow; NULL when there is none. */
const struct ArchiveFile *archive_list_find(const struct ArchiveList *list, const char *stamp);

/* One for each stamp, and one for each name that is none. An archive is made of a valid snapshot
 * only: it is valid unless backups/state/ says otherwise. It is pinned, and has a vector store, as
 * its snapshot is and has, while that exists: `snapshots`, in any order, is brought into that of
 * their names. */
int archive_retention_inputs(const struct Layout *layout, const struct ArchiveList *list,
        struct RetentionInput *snapshots, size_t n_snapshots, struct RetentionInput **ret_inputs,
        size_t *ret_n, struct Failure *failure);
