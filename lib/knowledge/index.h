/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Documents and their chunks into the database, and into the lexical index (term-index.h).
 * All calls but index_open() and index_digest() belong into a write transaction of the caller.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "lib/base/digest.h"
#include "lib/base/failure.h"
#include "lib/knowledge/chunker.h"
#include "lib/knowledge/evidence.h"

struct Index;

/* `db` must outlive it. */
int index_open(sqlite3 *db, struct Index **ret_index, struct Failure *failure);
struct Index *index_close(struct Index *index);
DEFINE_POINTER_CLEANUP(struct Index *, index_close)
#define _cleanup_index_ _cleanup_(index_closep)

/* Of the content that document `id` was made of. */
int index_digest(
        struct Index *index, int64_t id, char ret_digest[DIGEST_HEX_SIZE], struct Failure *failure);

struct IndexDocument {
        int64_t id; /* 0: a new one */
        const char *source;
        const char *path; /* below the source */
        const char *digest;
        const struct Evidence *evidence;
        const struct DocumentText *text;
        int64_t ingested_at;
};

/* Writes the document and its chunks in place of those it had. They can be found with
 * index_apply(). */
int index_put(struct Index *index, const struct IndexDocument *document, struct Failure *failure);
/* The file was touched: its content is the same. */
int index_touch(
        struct Index *index, int64_t id, const struct Evidence *evidence, struct Failure *failure);
/* With all its chunks. */
int index_remove(struct Index *index, int64_t id, struct Failure *failure);
/* Brings the lexical index up to date with what was put and removed since the last time, for all
 * documents at once. Adds to both counts. Before the transaction is committed. */
int index_apply(struct Index *index, uint64_t *chunks_added, uint64_t *chunks_removed,
        struct Failure *failure);
/* state.last_ingest_at: when an ingest last changed something. */
int index_set_last_ingest(struct Index *index, int64_t at, struct Failure *failure);
