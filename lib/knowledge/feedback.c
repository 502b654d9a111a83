/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/feedback.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/posting.h"
#include "lib/knowledge/term-index.h"

#define CHUNKS_WITH_IT_MIN 2 /* what only one of them has is its own */
#define TERM_LENGTH_MIN    3 /* bytes */
#define COMMON_SHARE       4 /* in a quarter of all chunks it is typical of none */

struct Candidate {
        int64_t id;
        unsigned chunks;
        double weight;
        double idf;
};

struct Candidates {
        struct Candidate *entries;
        size_t n, allocated;
};

static void candidates_clear(struct Candidates *candidates) {
        free(candidates->entries);
}

static int compare_ids(const void *a, const void *b) {
        const struct Candidate *x = a, *y = b;

        return x->id < y->id ? -1 : x->id > y->id;
}

static int compare_weights(const void *a, const void *b) {
        const struct Candidate *x = a, *y = b;

        if (x->weight != y->weight)
                return x->weight > y->weight ? -1 : 1;
        return compare_ids(a, b);
}

static int collect(struct Candidates *candidates, const struct FeedbackChunk *chunk, double share) {
        struct PostingReader reader = posting_reader(chunk->vector, chunk->size);
        struct Posting posting;
        int r;

        while ((r = posting_read(&reader, &posting)) > 0) {
                double part = posting_frequency(posting.weight) /
                        posting_length(posting_length_class(posting.weight));

                if (candidates->n == candidates->allocated) {
                        size_t allocated =
                                candidates->allocated > 0 ? candidates->allocated * 2 : 1024;
                        struct Candidate *entries =
                                reallocarray(candidates->entries, allocated, sizeof *entries);

                        if (!entries)
                                return -ENOMEM;
                        candidates->entries = entries;
                        candidates->allocated = allocated;
                }
                candidates->entries[candidates->n++] =
                        (struct Candidate){ (int64_t) posting.key, 1, share * part, 0 };
        }
        return r;
}

/* Those of enough chunks, each once. */
static void gather(struct Candidates *candidates) {
        struct Candidate *entries = candidates->entries;
        size_t kept = 0;

        if (candidates->n > 1)
                qsort(entries, candidates->n, sizeof *entries, compare_ids);
        for (size_t i = 0, next; i < candidates->n; i = next) {
                struct Candidate sum = entries[i];

                for (next = i + 1; next < candidates->n && entries[next].id == sum.id; next++) {
                        sum.chunks++;
                        sum.weight += entries[next].weight;
                }
                if (sum.chunks >= CHUNKS_WITH_IT_MIN)
                        entries[kept++] = sum;
        }
        candidates->n = kept;
}

/* By how rare it is; 0 takes it out. */
static int weigh(struct IndexReader *reader, const struct Bm25 *bm25, struct Candidates *candidates,
        struct Failure *failure) {
        sqlite3 *db = index_reader_database(reader);
        sqlite3_stmt *statement _cleanup_reset_ = NULL;
        int r = index_reader_prepare(reader,
                "SELECT chunks, length(CAST(term AS BLOB)) FROM terms WHERE id = ?1", &statement,
                failure);

        for (size_t i = 0; r >= 0 && i < candidates->n; i++) {
                struct Candidate *candidate = &candidates->entries[i];
                uint64_t chunks;
                int code;

                (void) sqlite3_reset(statement);
                if (sqlite3_bind_int64(statement, 1, candidate->id) != SQLITE_OK)
                        return failure_out_of_memory(failure);
                code = sqlite3_step(statement);
                if (code == SQLITE_DONE) /* a term of a chunk is a term */
                        return term_index_damaged(db, failure);
                if (code != SQLITE_ROW)
                        return sqlite_failure(db, failure, "read the index");
                chunks = (uint64_t) sqlite3_column_int64(statement, 0);
                if ((double) chunks * COMMON_SHARE > bm25->chunks ||
                        sqlite3_column_int64(statement, 1) < TERM_LENGTH_MIN)
                        candidate->weight = 0;
                else {
                        candidate->idf = bm25_idf(bm25, chunks);
                        candidate->weight *= candidate->idf;
                }
        }
        return r;
}

/* As many words of weight 1 as the prompt has, in shares. */
static void mix(struct Candidates *candidates, struct WeightedTerm *terms, size_t *n_terms) {
        size_t n = *n_terms, n_typical = candidates->n;
        double sum = 0;

        if (n_typical > 1)
                qsort(candidates->entries, n_typical, sizeof *candidates->entries, compare_weights);
        if (n_typical > FEEDBACK_TERMS_MAX)
                n_typical = FEEDBACK_TERMS_MAX;
        for (size_t i = 0; i < n_typical; i++)
                sum += candidates->entries[i].weight;
        if (sum <= 0)
                return;
        for (size_t i = 0; i < n; i++)
                terms[i].weight *= 1 - FEEDBACK_SHARE;
        for (size_t i = 0; i < n_typical; i++) {
                const struct Candidate *typical = &candidates->entries[i];
                double weight = FEEDBACK_SHARE * (double) n * typical->weight / sum * typical->idf;
                size_t k = 0;

                while (k < n && terms[k].id != typical->id)
                        k++;
                if (k < n)
                        terms[k].weight += weight;
                else if (weight > 0)
                        terms[(*n_terms)++] = (struct WeightedTerm){ typical->id, weight };
        }
        weighted_terms_sort(terms, *n_terms);
}

int feedback_add(struct IndexReader *reader, const struct Bm25 *bm25,
        const struct FeedbackChunk *chunks, size_t n_chunks, struct WeightedTerm *terms,
        size_t *n_terms, struct Failure *failure) {
        _cleanup_(candidates_clear) struct Candidates candidates = { 0 };
        double sum = 0;
        int r = 0;

        for (size_t i = 0; i < n_chunks; i++)
                sum += chunks[i].score;
        for (size_t i = 0; i < n_chunks && sum > 0; i++) {
                r = collect(&candidates, &chunks[i], chunks[i].score / sum);
                if (r == -ENOMEM)
                        return failure_out_of_memory(failure);
                if (r < 0)
                        return term_index_damaged(index_reader_database(reader), failure);
        }
        gather(&candidates);
        r = weigh(reader, bm25, &candidates, failure);
        if (r < 0)
                return r;
        mix(&candidates, terms, n_terms);
        return 0;
}
