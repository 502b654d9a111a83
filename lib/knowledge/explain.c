/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/explain.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/posting.h"
#include "lib/knowledge/term-index.h"

struct Explanation *explanation_free(struct Explanation *explanation) {
        if (!explanation)
                return NULL;
        for (size_t i = 0; i < explanation->n_terms; i++)
                free(explanation->terms[i].term);
        free(explanation->terms);
        free(explanation);
        return NULL;
}

static bool is_typical(const struct LexicalModel *model, int64_t id) {
        for (size_t i = 0; i < PROMPT_WORDS_MAX; i++)
                if (model->words[i] == id)
                        return false;
        return true;
}

static int compare_scores(const void *a, const void *b) {
        const struct TermScore *x = a, *y = b;

        if (x->score != y->score)
                return x->score > y->score ? -1 : 1;
        return strcmp(x->term, y->term);
}

static int read_term(sqlite3_stmt *names, int64_t id, char **ret_term) {
        const char *text;

        (void) sqlite3_reset(names);
        if (sqlite3_bind_int64(names, 1, id) != SQLITE_OK)
                return SQLITE_NOMEM;
        if (sqlite3_step(names) != SQLITE_ROW)
                return SQLITE_CORRUPT; /* the vector was read in the same transaction */
        text = (const char *) sqlite3_column_text(names, 0);
        *ret_term = text ? strdup(text) : NULL;
        return *ret_term ? SQLITE_OK : SQLITE_NOMEM;
}

/* What is in a chunk and its span, of each of the model's terms. */
struct Content {
        uint64_t length, span_length;
        uint8_t frequencies[PROMPT_WORDS_MAX + FEEDBACK_TERMS_MAX];
        uint8_t span_frequencies[PROMPT_WORDS_MAX + FEEDBACK_TERMS_MAX];
};

static int read_vector(const struct LexicalModel *model, const void *data, size_t size,
        uint64_t *ret_length, uint8_t *ret_frequencies) {
        struct TermVector vector;
        int r = term_vector_open(data, size, &vector);

        if (r < 0)
                return r;
        *ret_length = vector.length;
        return term_vector_frequencies(&vector, model->terms, model->n_terms, ret_frequencies);
}

static int read_content(struct IndexReader *reader, const struct LexicalModel *model, int64_t chunk,
        const void *data, size_t size, struct Content *content, struct Failure *failure) {
        sqlite3_stmt *spans _cleanup_reset_ = NULL;
        struct SpanRow span;
        int r = span_prepare(reader, &spans, failure);

        if (r >= 0)
                r = span_find(spans, chunk, &span, failure);
        if (r < 0)
                return r;
        if (span.first == span.last) {
                span.data = data;
                span.size = size;
        }
        if (read_vector(model, data, size, &content->length, content->frequencies) < 0 ||
                read_vector(model, span.data, span.size, &content->span_length,
                        content->span_frequencies) < 0)
                return term_index_damaged(index_reader_database(reader), failure);
        return 0;
}

static void explain_term(const struct LexicalModel *model, const struct Content *content, size_t i,
        struct TermScore *score) {
        const struct Bm25 *bm25 = &model->bm25;
        const struct WeightedTerm *term = &model->terms[i];

        score->typical = is_typical(model, term->id);
        score->weight = term->weight;
        score->frequency = content->frequencies[i];
        score->span_frequency = content->span_frequencies[i];
        score->score = term->weight *
                shared_score(bm25_value(score->frequency, content->length, bm25->chunk_length),
                        bm25_value(score->span_frequency, content->span_length, bm25->span_length));
}

static int explain_terms(struct IndexReader *reader, const struct LexicalModel *model,
        const struct Content *content, struct Explanation *explanation, struct Failure *failure) {
        sqlite3_stmt *names _cleanup_reset_ = NULL;
        int r = index_reader_prepare(
                reader, "SELECT term FROM terms WHERE id = ?1", &names, failure);

        if (r < 0)
                return r;
        for (size_t i = 0; i < model->n_terms; i++) {
                struct TermScore *score = &explanation->terms[explanation->n_terms];

                if (content->span_frequencies[i] == 0)
                        continue;
                switch (read_term(names, model->terms[i].id, &score->term)) {
                case SQLITE_OK:
                        break;
                case SQLITE_NOMEM:
                        return failure_out_of_memory(failure);
                default:
                        return term_index_damaged(index_reader_database(reader), failure);
                }
                explain_term(model, content, i, score);
                explanation->n_terms++;
        }
        return 0;
}

/* What the ranking gave it, which looks at the best only. */
static double proximity_of(const struct Ranking *ranking, int64_t chunk) {
        for (size_t i = 0; i < ranking->n; i++)
                if (ranking->best[i].id == chunk)
                        return ranking->best[i].proximity;
        return 0;
}

int explain_chunk(struct IndexReader *reader, const struct Ranking *ranking, int64_t chunk,
        struct Explanation **ret_explanation, struct Failure *failure) {
        const struct LexicalModel *model = ranking->model;
        sqlite3_stmt *vector _cleanup_reset_ = NULL;
        _cleanup_explanation_ struct Explanation *explanation = calloc(1, sizeof *explanation);
        struct Content content;
        int r, code;

        if (explanation)
                explanation->terms = calloc(model->n_terms + 1, sizeof *explanation->terms);
        if (!explanation || !explanation->terms)
                return failure_out_of_memory(failure);
        r = index_reader_prepare(
                reader, "SELECT data FROM chunk_terms WHERE chunk_id = ?1", &vector, failure);
        if (r < 0)
                return r;
        if (sqlite3_bind_int64(vector, 1, chunk) != SQLITE_OK)
                return failure_out_of_memory(failure);
        code = sqlite3_step(vector);
        if (code == SQLITE_DONE) {
                *ret_explanation = NULL;
                return 0;
        }
        if (code != SQLITE_ROW)
                return sqlite_failure(index_reader_database(reader), failure, "read the index");
        r = read_content(reader, model, chunk, sqlite3_column_blob(vector, 0),
                (size_t) sqlite3_column_bytes(vector, 0), &content, failure);
        if (r >= 0)
                r = explain_terms(reader, model, &content, explanation, failure);
        if (r < 0)
                return r;
        explanation->proximity = proximity_of(ranking, chunk);
        explanation->lead = chunk == model->first ? model->lead : 0;
        if (explanation->n_terms > 1)
                qsort(explanation->terms, explanation->n_terms, sizeof *explanation->terms,
                        compare_scores);
        *ret_explanation = STEAL(explanation);
        return 0;
}
