/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * backups/pre-restore/<stamp>: what a restore replaced, laid out like a snapshot, as it was: with
 * -wal and -shm, sound or not. It is moved there; only where backups/ is on another file system it
 * is copied. Its SHA256SUMS comes with the next validation of all snapshots (safety-seal.h).
 *
 *   prepared   .partial-<stamp>/, with copies where they are needed   power gone: a leftover
 *   published  moved into it, part by part, then <stamp>/             --resume moves the rest
 */

#include "lib/backup/restore.h"

/* Names the safety snapshot of a restore: restore->safety, "" where there is neither a backup root
 * nor anything to keep. BACKUP_ROOT_MISSING. */
int restore_safety_choose(
        const struct Operation *operation, struct Restore *restore, struct Failure *failure);

/* Before anything is exchanged. */
int restore_safety_prepare(
        const struct Operation *operation, const struct Restore *restore, struct Failure *failure);
/* Takes that back. */
void restore_safety_discard(const struct Layout *layout, const struct Restore *restore);
/* Removes what restores that died prepared; what they moved stays. */
int restore_safety_remove_abandoned(const struct Layout *layout, struct Failure *failure);

/* After what was live has become what was staged, and there is no way back: renames only. Can be
 * taken up from wherever it was left. */
int restore_safety_publish(
        const struct Layout *layout, const struct Restore *restore, struct Failure *failure);

/* Was there none when the safety snapshot with this metadata (maybe NULL) was made? */
bool restore_safety_was_absent(struct json_object *metadata, enum RestoreItemKind kind);

/* Their stamps, oldest first; *ret_stamps is freed by the caller. No directory: none. */
int restore_safety_list(const struct Layout *layout, char (**ret_stamps)[STAMP_SIZE], size_t *ret_n,
        struct Failure *failure);
