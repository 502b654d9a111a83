/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The terms of a chunk against weighted terms: BM25 over the weighted frequencies of all fields
 * (BM25F of one length), with the usual constants. Robertson and Zaragoza, The Probabilistic
 * Relevance Framework: BM25 and Beyond, 2009, 3.
 *
 * Half of a whole score is that of the chunk, half that of its span (term-index.h), the same
 * formula over the terms and the length of all its chunks. Passages with their documents: Callan,
 * 1994.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/knowledge/posting.h"

/* What a collection says of any of its terms. */
struct Bm25 {
        double chunks;
        double chunk_length, span_length; /* the averages */
        float values[256]; /* of a posting's byte, before it is multiplied by a term's weight */
};

#define SPAN_SHARE 0.5 /* of a whole score */

struct IndexTotals {
        uint64_t chunks, spans;
        uint64_t length; /* of all, in weighted words */
};

void bm25_set(struct Bm25 *bm25, const struct IndexTotals *totals);
/* Of a term that is in so many of the chunks; above 0. More than the logarithm, as chunks are
 * short: what is in every document is in some of its chunks only, and would look rarer than it is.
 */
double bm25_idf(const struct Bm25 *bm25, uint64_t chunks);
struct WeightedTerm {
        int64_t id;
        double weight;
};

/* By id. */
void weighted_terms_sort(struct WeightedTerm *terms, size_t n);

struct TermVector {
        uint64_t length;
        struct PostingReader terms; /* to be read once, or copied */
};

/* -EBADMSG: it is none. */
int term_vector_open(const void *data, size_t size, struct TermVector *ret_vector);

/* What a term counts that is in it so often, before it is multiplied by its weight. */
double bm25_value(unsigned frequency, uint64_t length, double average_length);

/* Of one chunk or span; `terms` by id. -EBADMSG when the terms of the vector are none. */
int term_vector_score(const struct TermVector *vector, double average_length,
        const struct WeightedTerm *terms, size_t n, double *ret_score);
/* How often it has each of the terms. */
int term_vector_frequencies(const struct TermVector *vector, const struct WeightedTerm *terms,
        size_t n, uint8_t *ret_frequencies);
