/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One run of a restore, and what a new and a resumed one have in common. For restore.c.
 */

#include "lib/backup/manifest.h"
#include "lib/backup/restore.h"
#include "lib/base/lock.h"

#define RESTORE_UNPACKED "data/.restore-archive" /* on the file system of what it replaces */

struct RestoreRun {
        const struct Operation *operation;    /* its layout is the target's */
        const struct RestoreOptions *options; /* NULL when resumed */
        struct Failure *failure;

        struct Restore *restore;
        struct Manifest *manifest; /* maybe NULL */
        char *directory;           /* laid out like a snapshot: what is staged from */
        bool own;                  /* it is what was unpacked of an archive */

        struct Lock *gate;
        struct Lock *source; /* keeps the snapshot from being pruned */
        struct Lock *store;
        struct Lock *backups;
};

void restore_run_clear(struct RestoreRun *run);

/* RESTORE_STEP for the steps of that verb; `what` NULL: of all. */
void restore_tell(const struct RestoreRun *run, enum RestoreVerb verb, const char *what);
/* The same for what is done with the source, before there is a plan that has steps. */
void restore_tell_source(const struct RestoreRun *run, enum RestoreVerb verb, const char *what);

/* Nobody opens the live database from here on; who has it open goes on. RESTORE_INTERRUPTED where
 * there is a journal; where there is none, all that lies beside the targets is left of a restore
 * that died before it exchanged anything, and is removed. */
int restore_close_gate(struct RestoreRun *run);

/* Ends the daemon, and makes sure that nobody has the live data in use. */
int restore_take_store(struct RestoreRun *run);

/* From the journal to its end: exchange, proof, safety snapshot. Or back. */
int restore_finish(struct RestoreRun *run);
