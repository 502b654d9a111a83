/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A snapshot as one file, to be carried elsewhere: backups/archives/<stamp>.tar.zst. The same
 * snapshot gives the same bytes: SHA256SUMS first, then the files in its order, named
 * <stamp>/<path>, each as if made by root at the time of the stamp. tar(1) and sha256sum(1) are
 * enough to unpack and verify it. With archive_encrypt= in the configuration it is encrypted on
 * the way to the disk: <stamp>.tar.zst.age or .gpg, whose bytes differ each time.
 */

#include "lib/base/operation.h"

enum ArchiveFormat {
        ARCHIVE_FORMAT_ZSTD, /* .tar.zst, level 3 */
        ARCHIVE_FORMAT_GZIP, /* .tar.gz */
        ARCHIVE_FORMAT_NONE, /* .tar */
};

/* "zstd", "gzip", "none". -EINVAL for anything else. */
int archive_format_parse(const char *text, enum ArchiveFormat *ret_format);

/* Under the shared backups lock. Each file is read once, and what is read must be what SHA256SUMS
 * says: an archive is only ever of a valid snapshot. One that is there already is left alone:
 * WRITE_FAILED (-EEXIST). *ret_path is the caller's, *ret_bytes its size.
 *
 * STAMP_INVALID, SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID, BACKUP_ROOT_MISSING, NO_SPACE, IO_ERROR,
 * WRITE_FAILED, READ_FAILED, PERMISSION_DENIED, LOCK_BUSY, ARCHIVE_KEY_FAILED, INTERRUPTED,
 * OUT_OF_MEMORY; nothing is published then, and nothing left. */
int archive_create(const struct Operation *operation, const char *stamp, enum ArchiveFormat format,
        char **ret_path, struct Failure *failure);
