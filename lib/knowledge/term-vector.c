/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/term-vector.h"

#include <math.h>
#include <stdlib.h>

#include "lib/knowledge/posting.h"

#define K1 1.2
#define B  0.75

void bm25_set(struct Bm25 *bm25, uint64_t chunks, uint64_t length) {
        double average = chunks > 0 && length > 0 ? (double) length / (double) chunks : 1;

        bm25->chunks = (double) chunks;
        for (unsigned i = 0; i < 256; i++) {
                double frequency = posting_frequency((uint8_t) i);
                double relative = posting_length(posting_length_class((uint8_t) i)) / average;

                bm25->values[i] =
                        (float) (frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * relative)));
        }
}

double bm25_idf(const struct Bm25 *bm25, uint64_t chunks) {
        double with = (double) chunks, without = bm25->chunks - with;

        return log1p(((without > 0 ? without : 0) + 0.5) / (with + 0.5));
}

static int compare_terms(const void *a, const void *b) {
        const struct WeightedTerm *x = a, *y = b;

        return x->id < y->id ? -1 : x->id > y->id;
}

void weighted_terms_sort(struct WeightedTerm *terms, size_t n) {
        if (n > 1)
                qsort(terms, n, sizeof *terms, compare_terms);
}

int term_vector_score(const void *vector, size_t size, const struct WeightedTerm *terms, size_t n,
        const struct Bm25 *bm25, double *ret_score) {
        struct PostingReader reader = posting_reader(vector, size);
        struct Posting posting;
        double score = 0;
        size_t i = 0;
        int r;

        while ((r = posting_read(&reader, &posting)) > 0) {
                while (i < n && (uint64_t) terms[i].id < posting.key)
                        i++;
                if (i == n)
                        break;
                if ((uint64_t) terms[i].id == posting.key)
                        score += terms[i].weight * (double) bm25->values[posting.weight];
        }
        if (r < 0)
                return r;
        *ret_score = score;
        return 0;
}
