/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Restore: a snapshot takes the place of the live data by renames, is proven by a daemon that
 * serves it, and what was there before becomes a safety snapshot. In between, a journal tells
 * whoever comes after a crash how far it was:
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

#include "lib/base/operation.h"

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

/* What is done, in the order in which it is done. */
enum RestoreVerb {
        RESTORE_VERB_UNPACK,   /* the archive, beside the targets */
        RESTORE_VERB_VALIDATE, /* the snapshot */
        RESTORE_VERB_STAGE,    /* an item, beside its target */
        RESTORE_VERB_STOP,     /* the daemon that serves the root, and wait for all others */
        RESTORE_VERB_EXCHANGE, /* an item with what is there */
        RESTORE_VERB_PROVE,    /* on a daemon that serves the restored data to nobody else */
        RESTORE_VERB_KEEP,     /* what was there, as a part of the safety snapshot */
};

struct RestoreStep {
        enum RestoreVerb verb;
        const char *what; /* "database", "snapshot", ...; static */
        char *target;     /* absolute; owned */
        uint64_t bytes;   /* that are written or moved; 0: none to speak of */
};

struct Restore {
        char stamp[STAMP_SIZE];     /* what is restored */
        char safety[STAMP_SIZE];    /* what becomes of what was there; "" where nothing is kept */
        char *source;               /* the directory it comes from, or the archive; owned */
        bool raw;                   /* put back as it was, sound or not */
        bool force;                 /* it comes from another host */
        struct json_object *counts; /* of its metadata, maybe NULL */
        struct RestoreItem items[RESTORE_ITEM_COUNT_];
        bool committed; /* there is no way but forward */

        /* What follows is not in the journal. */
        struct RestoreStep *steps;
        size_t n_steps;
        struct json_object *proof; /* what the checks found, or NULL */
        bool dry_run;
        bool undone; /* an interrupted restore was taken back */
        uint64_t duration_ms;
};

struct Restore *restore_free(struct Restore *restore);
DEFINE_POINTER_CLEANUP(struct Restore *, restore_free)
#define _cleanup_restore_ _cleanup_(restore_freep)

const char *restore_item_name(enum RestoreItemKind kind);   /* "database" */
const char *restore_action_name(enum RestoreAction action); /* "replace" */
const char *restore_verb_name(enum RestoreVerb verb);       /* "exchange" */

struct RestoreOptions {
        /* One of: a snapshot of `from`, a safety snapshot of `from`, an archive. */
        const char *stamp;
        const char *safety;
        const char *archive;
        const struct Layout *from; /* the storage root that the snapshot lies in */

        bool force;           /* also one of another host */
        bool dry_run;         /* plan, validate, touch nothing */
        const char *query;    /* for the proof; NULL: one that the data suggests */
        const char *identity; /* what an encrypted archive is read with; NULL: the credential */
};

/* The one way a restore is done, into operation->layout. On success the root serves what was
 * restored, and what was there before is backups/pre-restore/<safety>. On failure the live data is
 * what it was, but for RESTORE_INTERRUPTED and a failure that names `atocore-restore --resume`:
 * then the journal is there, and everything refuses to run.
 *
 * SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID; RESTORE_REFUSED (another host, a target that cannot be
 * exchanged); NO_SPACE before anything is touched; LOCK_BUSY names who has the live data in use;
 * RESTORE_ROLLED_BACK (-ECANCELED): the proof failed, and all is as it was; INTERRUPTED; failures
 * of reading and writing. Each step is told as RESTORE_STEP. */
int restore_run(const struct Operation *operation, const struct RestoreOptions *options,
        struct Restore **ret_restore, struct Failure *failure);

/* Ends what a crash interrupted: forward, or with `undo` back to what was there (where that is
 * still possible). *ret_restore is NULL where there was nothing to end. */
int restore_resume(const struct Operation *operation, bool undo, struct Restore **ret_restore,
        struct Failure *failure);

/* {"stamp","source","root","dry_run","safety","undone","steps":[{"action","what","target",
 * "bytes"}],"proof","duration_ms"}, "proof" as of proof.h; null where there is none. NULL when
 * memory ran out. */
struct json_object *restore_to_json(const struct Restore *restore, const struct Layout *layout);
