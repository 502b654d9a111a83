/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What an ingest did, and the object of the contract that says it: one for atocore-ingest --json
 * and POST /ingest.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"
#include "lib/base/failure.h"
#include "lib/knowledge/vector-sync.h"

struct IngestError {
        enum EventId id; /* of the event that says the same */
        char *path;      /* relative to the storage root; escaped where it is not valid UTF-8 */
        char *error;
};

struct IngestResult {
        uint64_t files_seen;      /* documents by their names, fit to be read or not */
        uint64_t files_indexed;   /* new ones and changed ones */
        uint64_t files_unchanged; /* the same content as before, touched or not */
        uint64_t files_removed;   /* documents that are no more */
        uint64_t chunks_added;
        uint64_t chunks_removed;
        uint64_t duration_ms;
        struct VectorResult vectors;
        char *vectors_problem; /* why some are pending, or NULL */
        struct IngestError *errors;
        size_t n_errors;
        size_t errors_allocated;
};

/* Copies both texts. -ENOMEM. */
int ingest_result_add_error(
        struct IngestResult *result, enum EventId id, const char *path, const char *error);
/* Those from `first` on that are an event of this kind. */
void ingest_result_drop_errors(struct IngestResult *result, size_t first, enum EventId id);

/* The caller owns it; NULL when memory ran out. */
struct json_object;
struct json_object *ingest_result_to_json(const struct IngestResult *result);

struct IngestResult *ingest_result_free(struct IngestResult *result);
DEFINE_POINTER_CLEANUP(struct IngestResult *, ingest_result_free)
#define _cleanup_ingest_result_ _cleanup_(ingest_result_freep)
