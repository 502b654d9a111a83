/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/feedback.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "lib/knowledge/posting.h"
#include "lib/knowledge/term-index.h"

#define CHUNKS_WITH_IT_MIN 2 /* what only one of them has is its own */
#define TERM_LENGTH_MIN    3 /* bytes */
#define COMMON_SHARE       4 /* in a quarter of all chunks it is typical of none */

struct TypicalTerm {
        int64_t id;
        unsigned chunks;
        double weight;
        double idf;
};

/* By id, each once. */
struct TypicalTerms {
        struct TypicalTerm *entries;
        size_t n;
};

static void typical_clear(struct TypicalTerms *typical) {
        free(typical->entries);
}

static int compare_weights(const void *a, const void *b) {
        const struct TypicalTerm *x = a, *y = b;

        if (x->weight != y->weight)
                return x->weight > y->weight ? -1 : 1;
        return x->id < y->id ? -1 : x->id > y->id;
}

/* Merges the terms of a chunk into them. */
static int merge(struct TypicalTerms *typical, const struct FeedbackChunk *chunk, double share) {
        struct PostingReader reader = chunk->vector.terms;
        const struct TypicalTerm *at = typical->entries, *end = at + typical->n;
        size_t most = (size_t) (reader.end - reader.at) / POSTING_SIZE_MIN;
        struct TypicalTerm *entries = reallocarray(NULL, typical->n + most + 1, sizeof *at);
        double each = share / (double) (chunk->vector.length > 0 ? chunk->vector.length : 1);
        struct Posting posting;
        size_t n = 0;
        int r;

        if (!entries)
                return -ENOMEM;
        while ((r = posting_read(&reader, &posting)) > 0) {
                int64_t id = (int64_t) posting.key;

                while (at < end && at->id < id)
                        entries[n++] = *at++;
                entries[n] = at < end && at->id == id ? *at++ : (struct TypicalTerm){ .id = id };
                entries[n].chunks++;
                entries[n++].weight += each * posting.weight;
        }
        while (at < end)
                entries[n++] = *at++;
        free(typical->entries);
        *typical = (struct TypicalTerms){ entries, n };
        return r;
}

/* By how rare they are. Leaves out what is in too few of the chunks, in too many of all, or short.
 */
static int weigh(
        struct IndexReader *reader, struct TypicalTerms *typical, struct Failure *failure) {
        const struct Bm25 *bm25 = index_reader_bm25(reader);
        size_t kept = 0;

        for (size_t i = 0; i < typical->n; i++) {
                struct TypicalTerm *term = &typical->entries[i];
                struct TermFacts facts;
                int r;

                if (term->chunks < CHUNKS_WITH_IT_MIN)
                        continue;
                r = index_reader_term(reader, term->id, &facts, failure);
                if (r < 0)
                        return r;
                if ((double) facts.chunks * COMMON_SHARE > bm25->chunks ||
                        facts.size < TERM_LENGTH_MIN)
                        continue;
                term->idf = bm25_idf(bm25, facts.chunks);
                term->weight *= term->idf;
                typical->entries[kept++] = *term;
        }
        typical->n = kept;
        return 0;
}

/* As many words of weight 1 as the prompt has, in shares. */
static void mix(struct TypicalTerms *typical, struct WeightedTerm *terms, size_t *n_terms) {
        size_t n = *n_terms, n_typical = typical->n;
        size_t n_shared = n < FEEDBACK_WORDS_MAX ? n : FEEDBACK_WORDS_MAX;
        double sum = 0, shared = FEEDBACK_SHARE * (double) n_shared;

        if (n_typical > 1)
                qsort(typical->entries, n_typical, sizeof *typical->entries, compare_weights);
        if (n_typical > FEEDBACK_TERMS_MAX)
                n_typical = FEEDBACK_TERMS_MAX;
        for (size_t i = 0; i < n_typical; i++)
                sum += typical->entries[i].weight;
        if (sum <= 0)
                return;
        for (size_t i = 0; i < n; i++)
                terms[i].weight *= 1 - shared / (double) n;
        for (size_t i = 0; i < n_typical; i++) {
                const struct TypicalTerm *term = &typical->entries[i];
                double weight = shared * term->weight / sum * term->idf;
                size_t k = 0;

                while (k < n && terms[k].id != term->id)
                        k++;
                if (k < n)
                        terms[k].weight += weight;
                else if (weight > 0)
                        terms[(*n_terms)++] = (struct WeightedTerm){ term->id, weight };
        }
        weighted_terms_sort(terms, *n_terms);
}

/* Of a chunk against the best one. A score is a sum of logarithms, so what is far behind the best
 * counts next to nothing, and what one chunk alone answers stays where it is. */
static double odds(const struct FeedbackChunk *chunks, size_t i) {
        return exp(chunks[i].score - chunks[0].score);
}

int feedback_add(struct IndexReader *reader, const struct FeedbackChunk *chunks, size_t n_chunks,
        struct WeightedTerm *terms, size_t *n_terms, struct Failure *failure) {
        _cleanup_(typical_clear) struct TypicalTerms typical = { 0 };
        double sum = 0;
        int r = 0;

        for (size_t i = 0; i < n_chunks; i++)
                sum += odds(chunks, i);
        for (size_t i = 0; i < n_chunks; i++) {
                r = merge(&typical, &chunks[i], odds(chunks, i) / sum);
                if (r == -ENOMEM)
                        return failure_out_of_memory(failure);
                if (r < 0)
                        return term_index_damaged(index_reader_database(reader), failure);
        }
        r = weigh(reader, &typical, failure);
        if (r < 0)
                return r;
        mix(&typical, terms, n_terms);
        return 0;
}
