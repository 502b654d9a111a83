/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a restore is about to replace, and how it can be brought back. A snapshot takes the place of
 * the live data by renames; in between, a journal tells whoever comes after a crash how far it was:
 *
 *   staged     .restore-* beside each target        power gone: the old data
 *   journalled the same, data/restore-journal.json  the old data, and what was to be done
 *   exchanged  .restore-* is what was there         a mixture, from which both ways can be gone
 *   committed  the same, phase "commit"             the new data, and the old one beside it
 *   done       the journal is gone                  the new data
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/cleanup.h"
#include "lib/base/stamp.h"

enum RestoreItemKind {
        RESTORE_DATABASE, /* data/db as a whole: an old -wal can never meet a new database */
        RESTORE_VECTOR_STORE,
        RESTORE_REGISTRY,
        RESTORE_ITEM_COUNT_,
};

enum RestoreAction {
        RESTORE_LEAVE,   /* the snapshot has none: what is there stays */
        RESTORE_REPLACE, /* by that of the snapshot */
        RESTORE_REMOVE,  /* a safety snapshot was taken when there was none */
};

struct RestoreItem {
        enum RestoreItemKind kind;
        enum RestoreAction action;
        const char *source; /* in the snapshot */
        const char *target; /* absolute; the layout's */
        char *staged;       /* absolute, beside the target; owned */
        uint64_t bytes;     /* in the snapshot */
        uint64_t inode;     /* of what was staged: tells on which side of the exchange it is */
};

struct Restore {
        char stamp[STAMP_SIZE];     /* what is restored */
        char safety[STAMP_SIZE];    /* what becomes of what was there; "" where there was nothing */
        char *source;               /* the directory it comes from; owned */
        struct json_object *counts; /* of its metadata, maybe NULL */
        struct RestoreItem items[RESTORE_ITEM_COUNT_];
        bool committed; /* there is no way but forward */
};

struct Restore *restore_free(struct Restore *restore);
DEFINE_POINTER_CLEANUP(struct Restore *, restore_free)
#define _cleanup_restore_ _cleanup_(restore_freep)

const char *restore_item_name(enum RestoreItemKind kind);   /* "database" */
const char *restore_action_name(enum RestoreAction action); /* "replace" */
