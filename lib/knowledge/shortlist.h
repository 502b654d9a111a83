/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The candidates that get their whole scores, with their term vectors and those of their spans
 * (term-index.h), read once and scored as often as terms and weights change.
 */

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/knowledge/index-reader.h"
#include "lib/knowledge/term-vector.h"

struct Rank {
        int64_t id;
        double score;     /* larger is better */
        double proximity; /* so much of it is for words that stand together (close-look.h) */
};

struct ScoredChunk {
        struct Rank rank;
        struct TermVector vector;
        size_t size;             /* bytes of it */
        const struct Span *span; /* NULL: the chunk alone */
};

struct Span {
        int64_t first, last; /* chunks */
        struct TermVector vector;
        size_t size;
        double score;
};

/* Vectors one behind the other. */
struct VectorBuffer {
        uint8_t *data;
        size_t size, allocated;
};

/* {0} is empty. */
struct Shortlist {
        struct ScoredChunk *chunks;
        size_t n;
        struct VectorBuffer chunk_vectors;
        struct Span *spans;
        size_t n_spans;
        struct VectorBuffer span_vectors;
};

/* Room for `n` chunks (> 0), whose ids are to be set. -ENOMEM. */
int shortlist_allocate(struct Shortlist *list, size_t n);
/* The vectors of the `n` chunks. DATABASE_INVALID. */
int shortlist_read(struct Shortlist *list, struct IndexReader *reader, struct Failure *failure);
/* Keeps the best `n` by what they say themselves, and gives them their whole scores, for which it
 * reads their spans; the best one is first then. `terms` by id. DATABASE_INVALID. */
int shortlist_narrow(struct Shortlist *list, size_t n, struct IndexReader *reader,
        const struct WeightedTerm *terms, size_t n_terms, struct Failure *failure);
/* Whole scores by other terms, of what was narrowed. DATABASE_INVALID. */
int shortlist_score(struct Shortlist *list, struct IndexReader *reader,
        const struct WeightedTerm *terms, size_t n_terms, struct Failure *failure);
/* The best first; among equals the older id. */
void shortlist_sort(struct Shortlist *list);
void shortlist_clear(struct Shortlist *list);

/* A row of span_terms; its bytes as long as the statement is not reset. */
struct SpanRow {
        int64_t first, last; /* the same: it is the chunk alone, and there are no bytes */
        const void *data;
        size_t size;
};

/* The span of a chunk. DATABASE_INVALID. */
int span_find(
        sqlite3_stmt *statement, int64_t chunk, struct SpanRow *ret_row, struct Failure *failure);
/* The statement for it; to be reset after use. */
int span_prepare(struct IndexReader *reader, sqlite3_stmt **ret_statement, struct Failure *failure);

/* The whole score, from that of a chunk and that of its span. */
static inline double shared_score(double chunk, double span) {
        return (1 - SPAN_SHARE) * chunk + SPAN_SHARE * span;
}
