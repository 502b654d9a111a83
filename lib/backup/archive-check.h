/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Is an archive what was made of its snapshot? See archive-read.h for what makes one.
 */

#include "lib/backup/check.h"

/* "x.tar", "/a/x.tar.zst", "x.tar.gz.age": meant as the name of an archive, not as a stamp. */
bool archive_is_name(const char *text);
/* Where an archive is that is named so: as it is named, else in backups/archives. The caller frees.
 * NULL when memory ran out. */
char *archive_find(const struct Layout *layout, const char *name);

/* Streams its checksums; nothing is written. Its database is not opened: that it is the one that
 * was checked when the snapshot was made is what its checksum proves. Findings and failures are
 * those of archive_walk() without a visitor. */
int archive_check(const struct Operation *operation, const char *path, const char *identity,
        struct CheckReport **ret_report, struct Failure *failure);

/* Unpacks it to a locked directory of its own in data/tmp, and finds what check_directory() finds
 * there: in the database too. The directory is removed again; what a killed run left is by the next
 * one, or by prune. Failures of archive_extract() and check_directory(). */
int archive_check_deep(const struct Operation *operation, const char *path, const char *identity,
        struct CheckReport **ret_report, struct Failure *failure);
