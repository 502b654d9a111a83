/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/explain.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/posting.h"
#include "lib/knowledge/proximity.h"
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

static int explain_terms(sqlite3 *db, const struct LexicalModel *model, sqlite3_stmt *vector,
        sqlite3_stmt *names, struct Explanation *explanation, struct Failure *failure) {
        struct PostingReader reader = posting_reader(
                sqlite3_column_blob(vector, 0), (size_t) sqlite3_column_bytes(vector, 0));
        struct Posting posting;
        size_t i = 0;
        int r;

        while ((r = posting_read(&reader, &posting)) > 0) {
                struct TermScore *score = &explanation->terms[explanation->n_terms];
                const struct WeightedTerm *term;

                while (i < model->n_terms && (uint64_t) model->terms[i].id < posting.key)
                        i++;
                if (i == model->n_terms)
                        return 0;
                term = &model->terms[i];
                if ((uint64_t) term->id != posting.key)
                        continue;
                switch (read_term(names, term->id, &score->term)) {
                case SQLITE_OK:
                        break;
                case SQLITE_NOMEM:
                        return failure_out_of_memory(failure);
                default:
                        return term_index_damaged(db, failure);
                }
                score->typical = is_typical(model, term->id);
                score->weight = term->weight;
                score->frequency = posting_frequency(posting.weight);
                score->score = term->weight * (double) model->bm25.values[posting.weight];
                explanation->n_terms++;
        }
        return r < 0 ? term_index_damaged(db, failure) : 0;
}

static int explain_proximity(struct IndexReader *reader, const struct LexicalModel *model,
        const struct PromptWords *words, const char *text, size_t size,
        struct Explanation *explanation) {
        struct Analyzer *analyzer;
        int r = index_reader_analyzer(reader, &analyzer);

        return r < 0 ? r
                     : proximity_bonus(
                               analyzer, words, model->idfs, text, size, &explanation->proximity);
}

int explain_chunk(struct IndexReader *reader, const struct LexicalModel *model,
        const struct PromptWords *words, int64_t chunk, const char *text, size_t size,
        struct Explanation **ret_explanation, struct Failure *failure) {
        sqlite3 *db = index_reader_database(reader);
        sqlite3_stmt *vector _cleanup_reset_ = NULL, *names _cleanup_reset_ = NULL;
        _cleanup_explanation_ struct Explanation *explanation = calloc(1, sizeof *explanation);
        int r, code;

        if (explanation)
                explanation->terms = calloc(model->n_terms + 1, sizeof *explanation->terms);
        if (!explanation || !explanation->terms)
                return failure_out_of_memory(failure);
        r = index_reader_prepare(
                reader, "SELECT data FROM chunk_terms WHERE chunk_id = ?1", &vector, failure);
        if (r >= 0)
                r = index_reader_prepare(
                        reader, "SELECT term FROM terms WHERE id = ?1", &names, failure);
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
                return sqlite_failure(db, failure, "read the index");
        r = explain_terms(db, model, vector, names, explanation, failure);
        if (r < 0)
                return r;
        if (explain_proximity(reader, model, words, text, size, explanation) < 0)
                return failure_out_of_memory(failure);
        if (explanation->n_terms > 1)
                qsort(explanation->terms, explanation->n_terms, sizeof *explanation->terms,
                        compare_scores);
        *ret_explanation = STEAL(explanation);
        return 0;
}
