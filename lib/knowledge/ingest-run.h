/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One scope while it is ingested, between what reads it (ingest-scope.c) and what decides about the
 * documents that are not there (ingest-removal.c).
 */

#include "lib/base/event.h"
#include "lib/knowledge/ingest-scope.h"
#include "lib/knowledge/known.h"

struct IngestRun {
        const struct Ingest *ingest;
        struct Scope scope;
        struct KnownDocuments *known;
        struct Failure *failure;
        uint64_t seen;
        uint64_t total; /* expected, for progress */
        int unopened;   /* errno value: the directory of the scope could not be opened */
};

/* Path below the storage root of `path` in the scope's source; caller frees. */
char *ingest_run_path(const struct IngestRun *run, const char *path);
/* An error entry, and an event that says the same; of a part, by ingest_scope_tell(). */
int ingest_run_error(struct IngestRun *run, enum EventId id, const char *path, const char *reason);
