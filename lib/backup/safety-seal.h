/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Checksums of what restores have put by in backups/pre-restore. Written by the validation of all
 * snapshots, which reads everything anyway, and not by the restore that somebody waits for.
 */

#include "lib/base/operation.h"

/* Writes SHA256SUMS into each safety snapshot that has none, oldest first, under the shared backups
 * lock; one that somebody else is sealing is left to him, and all are on read-only media.
 * SAFETY_SEALED tells of each. The first that cannot be sealed becomes the failure (READ_FAILED,
 * IO_ERROR, WRITE_FAILED, NO_SPACE) and does not keep the others; LOCK_BUSY, RESTORE_INTERRUPTED
 * and INTERRUPTED do. */
int safety_seal_all(const struct Operation *operation, struct Failure *failure);
