/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Sources → documents and chunks, incrementally, under the ingestion lock.
 */

#include <stdint.h>

#include "lib/base/operation.h"
#include "lib/knowledge/registry.h"

#define INGEST_FILE_MAX (16u << 20) /* bytes; a larger file is an error entry */

struct IngestError {
        char *path; /* relative to the storage root */
        char *error;
};

struct IngestResult {
        uint64_t files_seen;
        uint64_t files_indexed;
        uint64_t files_unchanged;
        uint64_t files_removed;
        uint64_t chunks_added;
        uint64_t chunks_removed;
        uint64_t duration_ms;
        struct IngestError *errors;
        size_t n_errors;
};

/* All sources, or only the roots of the given projects (n_projects > 0). Creates the database when
 * there is none. Errors in single files are in the result, reported by operation->notice, and do
 * not fail the run. A scope whose files are all gone (an unmounted or emptied source) keeps its
 * documents unless `allow_mass_removal`; that is an error entry too. LOCK_BUSY while another runs.
 */
int ingest_run(const struct Operation *operation, const struct Project *const *projects,
        size_t n_projects, bool allow_mass_removal, struct IngestResult **ret_result,
        struct Failure *failure);
struct IngestResult *ingest_result_free(struct IngestResult *result);
DEFINE_POINTER_CLEANUP(struct IngestResult *, ingest_result_free)
#define _cleanup_ingest_result_ _cleanup_(ingest_result_freep)
