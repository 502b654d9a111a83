/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Changes to the documents, gathered while files are read and written in transactions that are
 * short: the write lock is never held while a source is waited for, each file is in the database as
 * it was or as it is, and nothing is written where nothing changed.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/knowledge/chunker.h"
#include "lib/knowledge/document-file.h"
#include "lib/knowledge/index.h"
#include "lib/knowledge/ingest-result.h"

struct Batch;

/* `db` and `result` must outlive it; counts of what is committed are added to `result`. */
int batch_new(sqlite3 *db, int64_t now, struct IngestResult *result, struct Batch **ret_batch,
        struct Failure *failure);
/* What was not flushed is forgotten. */
struct Batch *batch_free(struct Batch *batch);
DEFINE_POINTER_CLEANUP(struct Batch *, batch_free)
#define _cleanup_batch_ _cleanup_(batch_freep)

/* All may flush. `id` 0: a new document. `source` must outlive the batch; `file` and `text` are
 * taken, on failure too. */
int batch_put(struct Batch *batch, int64_t id, const char *source, const char *path,
        struct DocumentFile *file, struct DocumentText *text, struct Failure *failure);
/* `worthwhile` false: only if something else is written as well. */
int batch_touch(struct Batch *batch, int64_t id, const struct Evidence *evidence, bool worthwhile,
        struct Failure *failure);
int batch_remove(struct Batch *batch, int64_t id, struct Failure *failure);

int batch_flush(struct Batch *batch, struct Failure *failure);

struct Index *batch_index(struct Batch *batch);
