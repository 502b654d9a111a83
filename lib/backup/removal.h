/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Removing a snapshot so that a crash half-way leaves no half of it under a real name: rename to
 * .trash-<stamp>, then what backups/state/ says of it, then the tree. What is left of a removal
 * that did not finish is found by its name (leftovers.h) and finished.
 */

#include <stdint.h>

#include "lib/backup/archive-list.h"
#include "lib/base/layout.h"

/* Renames the directory `name` in `dir_fd` to .trash-<name>, on disk when it returns. An older
 * trash of that name is removed first. */
int removal_move_to_trash(int dir_fd, const char *name);

/* Removes the state of a stamp of which neither a snapshot (in `snapshots_fd`) nor an archive is
 * left. snapshots_fd -1: it cannot be told, the state stays. */
int removal_forget(const struct Layout *layout, int snapshots_fd,
        const struct ArchiveList *archives, const char *stamp);

/* Removes the directory tree `name` in `dir_fd`; absent is fine. *ret_bytes is the allocated size
 * of what only it held. */
int removal_remove_tree(int dir_fd, const char *name, uint64_t *ret_bytes);

/* The same for a single file; not yet on disk when it returns. */
int removal_remove_file(int dir_fd, const char *name, uint64_t *ret_bytes);
