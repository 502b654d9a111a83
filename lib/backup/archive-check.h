/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Is an archive what was made of its snapshot? Its checksums are streamed; nothing of it is written
 * to disk, so nothing in it can lead anywhere. Only what archive.h describes is one: SHA256SUMS
 * first, then plain files in its order. Links, devices, other names, files that come twice and
 * whatever is cut off are findings.
 */

#include "lib/backup/check.h"

/* "x.tar", "/a/x.tar.zst", "x.tar.gz": meant as the name of an archive, not as a stamp. */
bool archive_is_name(const char *text);

/* The stamp of the report is that of the archive, "" where it names none. Findings are errors of
 * `ARCHIVE_INVALID` for what is no such archive, and those of check.h for its files. Its database
 * is not opened: that it is the one that was checked when the snapshot was made is what its
 * checksum proves. SNAPSHOT_NOT_FOUND (-ENOENT), READ_FAILED, PERMISSION_DENIED, INTERRUPTED,
 * OUT_OF_MEMORY. */
int archive_check(const struct Operation *operation, const char *path,
        struct CheckReport **ret_report, struct Failure *failure);
