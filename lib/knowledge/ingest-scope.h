/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The ingest of one part of a source; what it promises stands in ingest.h.
 */

#include <sqlite3.h>
#include <stdbool.h>

#include "lib/base/operation.h"
#include "lib/knowledge/batch.h"
#include "lib/knowledge/converter.h"
#include "lib/knowledge/moves.h"
#include "lib/knowledge/unconverted.h"

struct Scope {
        const char *source;
        const char *subpath; /* "" for all of the source */
        bool expected;       /* its absence is an error, even if no document of it is known */
        /* A part that is said to have changed, and decides no removal: see below. */
        bool part;
};

/* Files that could not be looked at, as there is no program to convert them. */
struct Unread {
        uint64_t n;
        char *first;     /* path below the storage root */
        const char *why; /* of converters_find() */
};

/* One run over one or more scopes, under the ingestion lock. */
struct Ingest {
        const struct Operation *operation;
        bool allow_mass_removal;
        sqlite3 *db;
        struct Batch *batch;
        struct Moves *moves; /* what all scopes met so far */
        struct IngestResult *result;
        struct Converters *converters;
        struct Unconverted *unconverted;
        struct Unread *unread; /* by enum Conversion */
};

enum IngestScope {
        INGEST_SCOPE_DONE,
        /* Documents of a part are not there any more, or the part itself is no plain file or
         * directory. Whether that is a removal or a source that is gone shows in all of the source
         * only: flush the batch and ingest that. */
        INGEST_SCOPE_WHOLE_SOURCE,
};

struct IngestRun;

/* Reads what is there. What is not is for ingest_scope_remove(), once each scope was read to which
 * it may have been moved. Leaves changes in the batch: the caller flushes it. `scope->source` must
 * outlive the batch, `ingest`, `failure` and `scope->subpath` what is returned. */
int ingest_scope_read(const struct Ingest *ingest, const struct Scope *scope,
        struct IngestRun **ret_run, struct Failure *failure);
/* An enum IngestScope, or -errno with the failure given before. */
int ingest_scope_remove(struct IngestRun *run);
struct IngestRun *ingest_run_free(struct IngestRun *run);
DEFINE_POINTER_CLEANUP(struct IngestRun *, ingest_run_free)
#define _cleanup_ingest_run_ _cleanup_(ingest_run_freep)

/* Both of them. */
int ingest_scope(const struct Ingest *ingest, const struct Scope *scope, struct Failure *failure);

/* The event of an error in a file. Those in a part are for the caller to tell, once it is certain
 * that they are not met again in all of the source. */
void ingest_scope_tell(const struct Ingest *ingest, const struct IngestError *error);
