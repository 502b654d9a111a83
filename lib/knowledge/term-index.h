/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The lexical index over chunks: an inverted index of our own, in tables of the same database, and
 * so in the same transactions and snapshots. What is in it is derived from `chunks` alone.
 *
 *   terms        each term, and in how many chunks it is
 *   postings     for a term and a window of TERM_WINDOW neighbouring chunk ids: a posting list
 *                (posting.h) of these. Ids only ascend (AUTOINCREMENT), so what is new is appended
 *                to the last window, and no list of a term that is everywhere is ever rewritten
 *   chunk_terms  for a chunk: the terms in it, a term vector. It completes the score of a chunk
 *                that some word of the prompt found, says what to remove with a chunk, and what is
 *                typical of it
 *   span_terms   for a span, SPAN_CHUNKS neighbouring chunks of a document at most: the terms in
 *                all of them, a term vector. What is said in a chunk is understood by what stands
 *                around it, and a document may say it piece by piece. A span of one chunk has no
 *                row: it is that chunk
 *   state        "index_chunks", "index_spans" and "index_length": how many chunks and spans there
 *                are, and the words in them
 */

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/knowledge/term-batch.h"

#define TERM_WINDOW 8192

struct TermIndex;

/* For writing, on a connection that has the schema. Everything happens in transactions of the
 * caller; after a failure, and after a rollback, nothing is left to do but to close it. */
int term_index_open(sqlite3 *db, struct TermIndex **ret_index, struct Failure *failure);
struct TermIndex *term_index_close(struct TermIndex *index);
DEFINE_POINTER_CLEANUP(struct TermIndex *, term_index_close)
#define _cleanup_term_index_ _cleanup_(term_index_closep)

/* A chunk that was just written, and its place in its document, from 0; ids ascend, and those of a
 * document follow one another. Waits for term_index_apply(), or until much waits. */
int term_index_add(struct TermIndex *index, int64_t chunk, uint64_t ordinal,
        const struct IndexedText *text, struct Failure *failure);
/* A chunk that goes, as all of its document do; waits as well. DATABASE_INVALID: its vector is
 * damaged. */
int term_index_remove(
        struct TermIndex *index, int64_t chunk, uint64_t ordinal, struct Failure *failure);

/* Writes what waits: removals, then additions. DATABASE_INVALID: what is there does not fit. */
int term_index_apply(struct TermIndex *index, struct Failure *failure);

/* DATABASE_INVALID: what was read of it cannot have been written by us. */
int term_index_damaged(sqlite3 *db, struct Failure *failure);

/* Forgets the whole index and makes it anew from `chunks`. */
int term_index_rebuild(sqlite3 *db, struct Failure *failure);
