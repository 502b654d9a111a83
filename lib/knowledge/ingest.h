/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Sources → documents and chunks, incrementally, under the ingestion lock.
 *
 * A run looks at each file of its scope (source.h), reads those whose stat(2) changed (evidence.h),
 * and replaces the chunks of those whose content did (batch.h). A run that finds nothing changed
 * writes nothing: `last_ingest_at` is when an ingest last changed something. Broken front matter is
 * an error entry of the run that reads the file; it is indexed all the same.
 *
 * What is no text is converted first (converter.h). A file that could not be is not tried again
 * before it, or the program, has changed (unconverted.h), and is an error entry of each run all the
 * same. Where the program is missing, that is one entry for each kind of document.
 *
 * A document is removed when its file is gone, or certain to be none any more: binary, not UTF-8,
 * too large, a link out of its source, refused by its converter. It stays as it is known while its
 * file or a directory above it cannot be read, or its converter is missing or does not come to an
 * end. Removals are refused, and all absent documents of a scope kept, where the
 * scope is gone or shows no document at all, and where more than half of at least INGEST_MASS_MIN
 * known documents are absent: rather a source that is not mounted than an author who cleaned up.
 * Absent is not what moved: what a new or changed file of the same source holds that the run met
 * (moves.h). Such documents are removed in any case. A refusal stands until an ingest of the scope
 * is not refused (refusal.h).
 */

#include <stdbool.h>

#include "lib/base/operation.h"
#include "lib/knowledge/changes.h"
#include "lib/knowledge/ingest-result.h"
#include "lib/knowledge/registry.h"

#define INGEST_MASS_MIN 100 /* documents */

/* All sources, each a scope of its own, or only the roots of the given projects (n_projects > 0).
 * Creates the database when there is none. Errors in single files are in the result, reported by
 * operation->notice (INGEST_FILE_SKIPPED, INGEST_FRONT_MATTER_IGNORED, INGEST_CONVERTER_MISSING,
 * INGEST_CONVERSION_WARNING, INGEST_REMOVAL_REFUSED, STATE_NOT_SAVED), and do not fail the run.
 * LOCK_BUSY while another runs; the failures of store_open() and of writing the database;
 * INTERRUPTED: what was committed by then is kept, file by file whole. Where vectors are configured
 * they follow (vector-sync.h); what keeps them from it is a notice, VECTORS_PENDING, and no
 * failure: the texts are in. */
int ingest_run(const struct Operation *operation, const struct Project *const *projects,
        size_t n_projects, bool allow_mass_removal, struct IngestResult **ret_result,
        struct Failure *failure);

/* The same of what has changed only, or of all sources (changes->everything). Where something of a
 * source is gone, all of that source is looked at: what is a removal is decided in one way only.
 * A file that is met twice by that counts, and is told, once. */
int ingest_changes(const struct Operation *operation, const struct Changes *changes,
        struct IngestResult **ret_result, struct Failure *failure);

/* All vectors anew, with nothing ingested: VECTORS_FAILED where that cannot be done, CONFIG_INVALID
 * where there are to be none. */
int ingest_reembed(const struct Operation *operation, struct IngestResult **ret_result,
        struct Failure *failure);
