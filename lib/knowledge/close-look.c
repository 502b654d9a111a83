/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/close-look.h"

#include <stdlib.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/proximity.h"
#include "lib/knowledge/term-index.h"

struct Look {
        struct IndexReader *reader;
        const struct PromptWords *words;
        const struct LexicalModel *model;
        struct Failure *failure;
        sqlite3_stmt *content;
        struct Analyzer *analyzer;

        struct WeightedTerm terms[PROMPT_WORDS_MAX]; /* words that the index knows, by id … */
        size_t places[PROMPT_WORDS_MAX];             /* … and where in the prompt each is */
        size_t n_terms;

        double *best; /* the scores that are whole, the highest first, `wanted` at most */
        size_t n_best, wanted;
};

static void sort_words(struct Look *look) {
        const int64_t *words = look->model->words;

        for (size_t i = 0; i < look->words->n_words; i++)
                if (words[i] != 0)
                        look->terms[look->n_terms++] = (struct WeightedTerm){ .id = words[i] };
        weighted_terms_sort(look->terms, look->n_terms);
        for (size_t i = 0; i < look->n_terms; i++)
                while (words[look->places[i]] != look->terms[i].id)
                        look->places[i]++;
}

/* The most that the text can get. What a word counts in the vector is what it counts in the text,
 * and more where it is in the title as well. */
static int find_bound(const struct Look *look, const struct ScoredChunk *candidate, double *ret) {
        uint8_t found[PROMPT_WORDS_MAX], frequencies[PROMPT_WORDS_MAX] = { 0 };

        if (term_vector_frequencies(&candidate->vector, look->terms, look->n_terms, found) < 0)
                return term_index_damaged(index_reader_database(look->reader), look->failure);
        for (size_t i = 0; i < look->n_terms; i++)
                frequencies[look->places[i]] = found[i];
        *ret = proximity_bound(look->words, look->model->idfs, frequencies);
        return 0;
}

static int read_bonus(struct Look *look, int64_t chunk, double *ret_bonus) {
        sqlite3 *db = index_reader_database(look->reader);
        sqlite3_stmt *content _cleanup_reset_ = look->content;

        if (sqlite3_bind_int64(content, 1, chunk) != SQLITE_OK)
                return failure_out_of_memory(look->failure);
        switch (sqlite3_step(content)) {
        case SQLITE_ROW:
                break;
        case SQLITE_DONE:
                return term_index_damaged(db, look->failure);
        default:
                return sqlite_failure(db, look->failure, "read a chunk");
        }
        return proximity_bonus(look->analyzer, look->words, look->model->idfs,
                       sqlite3_column_blob(content, 0), (size_t) sqlite3_column_bytes(content, 0),
                       ret_bonus) < 0
                ? failure_out_of_memory(look->failure)
                : 0;
}

static void keep_best(struct Look *look, double score) {
        size_t at = look->n_best;

        if (at == look->wanted && look->best[--at] >= score)
                return;
        for (; at > 0 && look->best[at - 1] < score; at--)
                look->best[at] = look->best[at - 1];
        look->best[at] = score;
        if (look->n_best < look->wanted)
                look->n_best++;
}

static int look_at(struct Look *look, struct ScoredChunk *candidate) {
        struct Rank *rank = &candidate->rank;
        double bound = 0;
        int r = find_bound(look, candidate, &bound);

        if (r < 0)
                return r;
        if (look->n_best == look->wanted && rank->score + bound < look->best[look->wanted - 1])
                return 0;
        if (bound > 0) {
                r = read_bonus(look, rank->id, &rank->proximity);
                if (r < 0)
                        return r;
        }
        rank->score += rank->proximity;
        keep_best(look, rank->score);
        return 0;
}

int close_look(struct IndexReader *reader, const struct PromptWords *words,
        const struct LexicalModel *model, struct ScoredChunk *candidates, size_t n, size_t wanted,
        struct Failure *failure) {
        _cleanup_free_ double *best = calloc(wanted, sizeof *best);
        struct Look look = {
                .reader = reader,
                .words = words,
                .model = model,
                .failure = failure,
                .best = best,
                .wanted = wanted,
        };
        int r;

        if (!best || index_reader_analyzer(reader, &look.analyzer) < 0)
                return failure_out_of_memory(failure);
        r = index_reader_prepare(
                reader, "SELECT content FROM chunks WHERE id = ?1", &look.content, failure);
        sort_words(&look);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = look_at(&look, &candidates[i]);
        return r;
}
