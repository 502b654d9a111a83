/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is to become live, put together beside what it replaces: on the same file system, with its
 * owner and mode, on disk. If power goes, it is a leftover that the next restore removes.
 */

#include "lib/backup/manifest.h"
#include "lib/backup/restore.h"

struct RestoreStaging {
        const char *source;              /* laid out like a snapshot */
        const struct Manifest *manifest; /* of it; NULL: there is none to go by */
        bool own; /* it is ours, and was compared with its checksums before: its parts are moved
                   * instead of copied */

        /* Is told of each item before it is staged. */
        void (*step)(const struct RestoreItem *item, void *userdata);
        /* NULL, or compares the copy of the database (a file) with its checksum, and looks into it:
         * a check that reads it anyway. It is not compared while it is copied then. `database` is
         * NULL where the copy is a clone: it is the blocks of the snapshot's own that are live. */
        int (*validate)(const char *database, void *userdata);
        void *userdata;
};

/* Stages every item that is to be replaced, the database first. Fills in the items' inodes. */
int restore_stage(const struct Operation *operation, struct Restore *restore,
        const struct RestoreStaging *staging, struct Failure *failure);
