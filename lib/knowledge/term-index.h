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
 * that some word of the prompt found, says what to remove with a chunk, and what is typical of it
 *   state        "index_chunks" and "index_length": how many chunks there are, and their words
 */

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/failure.h"

#define TERM_WINDOW 8192

/* What a word counts where it stands. A document's title is often its first heading, too. */
#define TERM_WEIGHT_TITLE    2
#define TERM_WEIGHT_HEADINGS 1
#define TERM_WEIGHT_KEYWORDS 2
#define TERM_WEIGHT_CONTENT  1

struct TermIndex;

/* For writing, on a connection that has the schema. Everything happens in transactions of the
 * caller. */
int term_index_open(sqlite3 *db, struct TermIndex **ret_index, struct Failure *failure);
struct TermIndex *term_index_close(struct TermIndex *index);
DEFINE_POINTER_CLEANUP(struct TermIndex *, term_index_close)
#define _cleanup_term_index_ _cleanup_(term_index_closep)

struct IndexedText {
        const char *title;
        const char *heading_path; /* as JSON: what is not a word there separates words */
        const char *keywords;
        const char *path; /* of the document; counts like keywords */
        const char *content;
        size_t content_size;
};

/* A chunk that was just written; ids ascend. Waits for term_index_apply(). */
int term_index_add(struct TermIndex *index, int64_t chunk, const struct IndexedText *text,
        struct Failure *failure);
/* A chunk that goes; waits as well. DATABASE_INVALID: its vector cannot be read. */
int term_index_remove(struct TermIndex *index, int64_t chunk, struct Failure *failure);

/* Writes what waits: removals, then additions. */
int term_index_apply(struct TermIndex *index, struct Failure *failure);

/* DATABASE_INVALID: what was read of it cannot have been written by us. */
int term_index_damaged(sqlite3 *db, struct Failure *failure);

/* Forgets the whole index and makes it anew from `chunks`. */
int term_index_rebuild(sqlite3 *db, struct Failure *failure);
