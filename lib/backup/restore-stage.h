/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is to become live, put together beside what it replaces: on the same file system, with its
 * owner and mode, on disk. If power goes, it is a leftover that the next restore removes.
 */

#include "lib/backup/manifest.h"
#include "lib/backup/restore.h"

/* Stages every item that is to be replaced, from `source`, laid out like a snapshot. With `own` the
 * source is ours and was compared with its checksums before: its parts are moved instead of copied.
 * Fills in the items' inodes. `step` is told of each before it begins. */
int restore_stage(const struct Operation *operation, struct Restore *restore, const char *source,
        const struct Manifest *manifest, bool own,
        void (*step)(const struct RestoreItem *item, void *userdata), void *userdata,
        struct Failure *failure);
