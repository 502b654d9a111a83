/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Storage root → every path below it. All are absolute; nothing is created or checked here.
 */

#include "lib/base/cleanup.h"

struct Layout {
        char *root;

        char *registry;          /* config/project-registry.json */
        char *registry_previous; /* beside it, .previous: what AtoCore replaced last */
        char *database_dir;      /* data/db */
        char *database;          /* data/db/atocore.db */
        char *chroma;            /* data/chroma: the vector store, may be absent */
        char *cache;             /* data/cache */
        char *tmp;               /* data/tmp */
        char *locks;             /* data/locks */
        char *sources;           /* sources: holds one directory per source, read-only input */
        char *logs;
        char *restore_journal; /* data/restore-journal.json: there while a restore is under way */
        char *last_drill;      /* data/last-drill.json: the result of the last drill */
        char *backups;
        char *snapshots;   /* backups/snapshots/<stamp> */
        char *archives;    /* backups/archives */
        char *pre_restore; /* backups/pre-restore */
        char *state;       /* backups/state/<stamp>.json */

        /* Lock files, in the order in which they are taken; see lock.h. */
        char *gate_lock;      /* data/locks/gate.lock */
        char *store_lock;     /* data/locks/store.lock */
        char *ingestion_lock; /* data/locks/ingestion.lock */
        char *registry_lock;  /* data/locks/registry.lock */
        char *backups_lock;   /* backups/.lock */
};

/* The sources that exist below sources/, NULL-terminated: "vault", "drive". */
extern const char *const layout_source_names[];

/* `root` must be absolute; trailing slashes are dropped. -EINVAL, -ENOMEM. */
int layout_new(const char *root, struct Layout **ret_layout);
struct Layout *layout_free(struct Layout *layout);
DEFINE_POINTER_CLEANUP(struct Layout *, layout_free)
#define _cleanup_layout_ _cleanup_(layout_freep)

/* `path` below the root as it is shown to clients ("sources/vault/a.md"); `path` itself when it
 * lies elsewhere. Points into `path`. */
const char *layout_relative(const struct Layout *layout, const char *path);
