/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Pseudo-relevance feedback: what the chunks that answer best have in common says more of what is
 * wanted. Terms that are typical of them join the prompt's words, with less weight, and reorder
 * what these found; nothing is found by them alone. Relevance models: Lavrenko and Croft, 2001;
 * mixed with the query as by Abdul-Jaleel et al., 2004 (RM3). How much a chunk counts there is the
 * probability of the prompt in it, and BM25 scores are logarithms of such: exp (score).
 */

#include "lib/base/failure.h"
#include "lib/knowledge/index-reader.h"
#include "lib/knowledge/term-vector.h"

#define FEEDBACK_CHUNKS    10 /* that are taken to be what is wanted */
#define FEEDBACK_TERMS_MAX 20
#define FEEDBACK_SHARE     0.25 /* of the score, that the typical terms decide … */
#define FEEDBACK_WORDS_MAX 30   /* … of a prompt of so many words; less of one that says more */

struct FeedbackChunk {
        struct TermVector vector;
        double score;
};

/* `chunks`, the best one first. `terms`, the prompt's words, sorted by id, become words of less
 * weight and up to FEEDBACK_TERMS_MAX more; there must be room for these. DATABASE_INVALID. */
int feedback_add(struct IndexReader *reader, const struct FeedbackChunk *chunks, size_t n_chunks,
        struct WeightedTerm *terms, size_t *n_terms, struct Failure *failure);
