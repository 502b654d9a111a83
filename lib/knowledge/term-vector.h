/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The terms of a chunk against weighted terms: BM25 over the weighted frequencies of all fields
 * (BM25F of one length), with the usual constants. Robertson and Zaragoza, The Probabilistic
 * Relevance Framework: BM25 and Beyond, 2009, 3.
 */

#include <stddef.h>
#include <stdint.h>

/* For a collection: what a posting's byte is worth, before it is multiplied by the weight of the
 * term. */
struct Bm25 {
        double chunks;
        float values[256];
};

void bm25_set(struct Bm25 *bm25, uint64_t chunks, uint64_t length);
/* Of a term that is in so many of the chunks; above 0. */
double bm25_idf(const struct Bm25 *bm25, uint64_t chunks);

struct WeightedTerm {
        int64_t id;
        double weight;
};

/* By id. */
void weighted_terms_sort(struct WeightedTerm *terms, size_t n);

/* Of one chunk; both sorted by id. -EBADMSG when `vector` is none. */
int term_vector_score(const void *vector, size_t size, const struct WeightedTerm *terms, size_t n,
        const struct Bm25 *bm25, double *ret_score);
