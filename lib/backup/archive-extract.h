/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Unpacking an archive into a directory, which is laid out like the snapshot then.
 */

#include "lib/backup/check.h"

/* `dir_fd` is an empty directory that nobody else writes to, `dir_path` its name for messages. All
 * is made new in it (FILE_MODE, DIRECTORY_MODE), nothing outside, no link is followed, and what was
 * made is on disk when this returns. What is wrong with the archive is a finding of the report, as
 * of archive_walk(): the first one ends it. Whether that or a failure, what is in the directory by
 * then is the caller's to remove; only with a report that is valid it is all there. Whether it is a
 * good snapshot is for check_directory() to say: it looks into the database too.
 *
 * NO_SPACE before anything large is written, where it would not fit. SNAPSHOT_NOT_FOUND,
 * ARCHIVE_KEY_FAILED, IO_ERROR, WRITE_FAILED, READ_FAILED, PERMISSION_DENIED, INTERRUPTED,
 * OUT_OF_MEMORY. */
int archive_extract(const struct Operation *operation, const char *path, const char *identity,
        int dir_fd, const char *dir_path, struct CheckReport **ret_report, struct Failure *failure);
