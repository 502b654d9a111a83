/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reading an archive, whoever made it: only what archive.h describes is one. SHA256SUMS comes
 * first, then its files in its order, backup-metadata.json before the others; links, devices,
 * sparse files, other names, files that come twice and whatever is cut off are findings, and so is
 * more than the metadata says there is. Nothing of it is written to disk here.
 */

#include "lib/backup/check.h"

/* What is done with the files on the way. Each function may be NULL, and returns 0 or a failure,
 * which ends the reading. Paths are those of the manifest: relative, without "." and "..", and none
 * of them below another. */
struct ArchiveVisitor {
        /* Once, when the metadata is read: that many bytes of files at most are to come. */
        int (*expect)(void *userdata, uint64_t bytes, struct Failure *failure);
        /* For each file, SHA256SUMS first, then `data` until all its bytes are given, then `end`.
         * Only then its digest is known to be right; where it is not, it is the last. */
        int (*begin)(void *userdata, const char *path, struct Failure *failure);
        int (*data)(void *userdata, const void *data, size_t size, struct Failure *failure);
        int (*end)(void *userdata, const char *path, struct Failure *failure);
        void *userdata;
};

/* The stamp of the report is that of the archive, "" where it names none. Findings are errors of
 * ARCHIVE_INVALID for what is no such archive, and those of check.h for its files. With a `visitor`
 * the first of them ends the reading; without one (NULL) all are told. `identity` is the file with
 * the key of an archive that is encrypted; NULL: the credential archive-identity.
 *
 * SNAPSHOT_NOT_FOUND (-ENOENT), ARCHIVE_KEY_FAILED, READ_FAILED, PERMISSION_DENIED, INTERRUPTED,
 * OUT_OF_MEMORY, and the visitor's. */
int archive_walk(const struct Operation *operation, const char *path, const char *identity,
        const struct ArchiveVisitor *visitor, struct CheckReport **ret_report,
        struct Failure *failure);
