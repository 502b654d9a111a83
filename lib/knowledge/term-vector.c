/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/term-vector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/knowledge/posting.h"

#define K1 1.2
#define B  0.75

#define IDF_POWER 1.1

static double average(uint64_t length, uint64_t n) {
        return n > 0 && length > 0 ? (double) length / (double) n : 1;
}

static double value(double frequency, double relative_length) {
        return frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * relative_length));
}

double bm25_value(unsigned frequency, uint64_t length, double average_length) {
        return value(frequency, (double) length / average_length);
}

void bm25_set(struct Bm25 *bm25, const struct IndexTotals *totals) {
        bm25->chunks = (double) totals->chunks;
        bm25->chunk_length = average(totals->length, totals->chunks);
        bm25->span_length = average(totals->length, totals->spans);
        for (unsigned i = 0; i < 256; i++)
                bm25->values[i] = (float) value(posting_frequency((uint8_t) i),
                        posting_length(posting_length_class((uint8_t) i)) / bm25->chunk_length);
}

double bm25_idf(const struct Bm25 *bm25, uint64_t chunks) {
        double with = (double) chunks, without = bm25->chunks - with;
        double idf = log1p(((without > 0 ? without : 0) + 0.5) / (with + 0.5));

        return pow(idf, IDF_POWER);
}

static int compare_terms(const void *a, const void *b) {
        const struct WeightedTerm *x = a, *y = b;

        return x->id < y->id ? -1 : x->id > y->id;
}

void weighted_terms_sort(struct WeightedTerm *terms, size_t n) {
        if (n > 1)
                qsort(terms, n, sizeof *terms, compare_terms);
}

int term_vector_open(const void *data, size_t size, struct TermVector *ret_vector) {
        ret_vector->terms = posting_reader(data, size);
        return vector_read_length(&ret_vector->terms, &ret_vector->length);
}

/* 1: the *i-th or a later one is in what is left of the vector. 0: none. */
static inline int find_term(struct PostingReader *reader, const struct WeightedTerm *terms,
        size_t n, size_t *i, uint8_t *ret_frequency) {
        struct Posting posting;
        int r;

        while (*i < n) {
                posting_skip(reader, (uint64_t) terms[*i].id);
                r = posting_read(reader, &posting);
                if (r <= 0)
                        return r;
                while (*i < n && (uint64_t) terms[*i].id < posting.key)
                        (*i)++;
                if (*i < n && (uint64_t) terms[*i].id == posting.key) {
                        *ret_frequency = posting.weight;
                        return 1;
                }
        }
        return 0;
}

int term_vector_score(const struct TermVector *vector, double average_length,
        const struct WeightedTerm *terms, size_t n, double *ret_score) {
        struct PostingReader reader = vector->terms;
        double score = 0, relative = (double) vector->length / average_length;
        uint8_t frequency;
        size_t i = 0;
        int r;

        for (; (r = find_term(&reader, terms, n, &i, &frequency)) > 0; i++)
                score += terms[i].weight * value(frequency, relative);
        *ret_score = score;
        return r;
}

int term_vector_frequencies(const struct TermVector *vector, const struct WeightedTerm *terms,
        size_t n, uint8_t *ret_frequencies) {
        struct PostingReader reader = vector->terms;
        uint8_t frequency;
        size_t i = 0;
        int r;

        memset(ret_frequencies, 0, n);
        for (; (r = find_term(&reader, terms, n, &i, &frequency)) > 0; i++)
                ret_frequencies[i] = frequency;
        return r;
}
