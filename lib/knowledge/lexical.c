/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/lexical.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/accumulator.h"
#include "lib/knowledge/close-look.h"
#include "lib/knowledge/posting.h"
#include "lib/knowledge/scope.h"
#include "lib/knowledge/term-index.h"

/* So many at most, and twice as many as are wanted, are looked at for their phrases. */
#define CLOSE_LOOK_MAX 64

/* A word of the prompt that the index knows. */
struct Known {
        int64_t id;
        uint64_t chunks; /* that it is in */
        double idf;
};

struct Search {
        struct IndexReader *reader;
        sqlite3 *db; /* its */
        const struct PromptWords *words;
        const struct Project *project; /* maybe NULL */
        struct Failure *failure;
        struct LexicalModel *model;

        struct Known known[PROMPT_WORDS_MAX]; /* rarest first */
        size_t n_known;

        struct Accumulator *sums;
        struct Candidate *candidates;
        size_t n, wanted;
        uint64_t found;
        uint8_t *vectors;
        size_t vectors_size, vectors_allocated;
};

static void search_clear(struct Search *search) {
        accumulator_free(search->sums);
        free(search->candidates);
        free(search->vectors);
        free(search->model);
}

/* Words. */

static int compare_known(const void *a, const void *b) {
        const struct Known *x = a, *y = b;

        if (x->chunks != y->chunks)
                return x->chunks < y->chunks ? -1 : 1;
        return x->id < y->id ? -1 : x->id > y->id;
}

static int find_words(struct Search *search) {
        const struct PromptWords *words = search->words;

        for (size_t i = 0; i < words->n_words; i++) {
                struct KnownWord word;
                int r = index_reader_find(search->reader, words->words[i].term,
                        words->words[i].size, &word, search->failure);

                if (r < 0)
                        return r;
                if (word.id == 0)
                        continue;
                search->model->idfs[i] = bm25_idf(&search->model->bm25, word.chunks);
                search->model->words[i] = word.id;
                search->known[search->n_known++] =
                        (struct Known){ word.id, word.chunks, search->model->idfs[i] };
        }
        if (search->n_known > 1)
                qsort(search->known, search->n_known, sizeof *search->known, compare_known);
        for (size_t i = 0; i < search->n_known; i++)
                search->model->terms[i] =
                        (struct WeightedTerm){ search->known[i].id, search->known[i].idf };
        search->model->n_terms = search->n_known;
        weighted_terms_sort(search->model->terms, search->model->n_terms);
        return 0;
}

/* The project. */

static char *project_sql(const struct Project *project) {
        return scope_sql(project,
                " SELECT chunks.id FROM scope CROSS JOIN documents CROSS JOIN chunks"
                " WHERE documents.source = scope.source"
                " AND documents.path >= scope.low AND documents.path < scope.high"
                " AND document_id = documents.id");
}

/* Costs what the project has. */
static int restrict_to_project(struct Search *search) {
        _cleanup_free_ char *sql = project_sql(search->project);
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        int r, code;

        if (!sql)
                return failure_out_of_memory(search->failure);
        r = sqlite_prepare(search->db, sql, &statement, search->failure);
        if (r < 0)
                return r;
        if (scope_bind(statement, search->project, 1) < 0)
                return failure_out_of_memory(search->failure);
        accumulator_restrict(search->sums);
        while ((code = sqlite3_step(statement)) == SQLITE_ROW)
                if (accumulator_allow(search->sums, sqlite3_column_int64(statement, 0)) < 0)
                        return failure_out_of_memory(search->failure);
        return code == SQLITE_DONE ? 0 : sqlite_failure(search->db, search->failure, "read chunks");
}

/* Candidates. */

static int add_list(struct Search *search, const struct Known *known, int64_t window,
        const void *data, size_t size) {
        struct PostingReader reader = posting_reader(data, size);
        struct Posting posting;
        float *sums, idf = (float) known->idf;
        int r;

        if (window >= INT64_MAX / TERM_WINDOW)
                return term_index_damaged(search->db, search->failure);
        if (accumulator_window(search->sums, window, &sums) < 0)
                return failure_out_of_memory(search->failure);
        while ((r = posting_read(&reader, &posting)) > 0 && posting.key < TERM_WINDOW)
                sums[posting.key] += idf * search->model->bm25.values[posting.weight];
        return r == 0 ? 0 : term_index_damaged(search->db, search->failure);
}

/* All windows in one scan, or in a project one look for each of its own. */
static int add_lists(struct Search *search, sqlite3_stmt *lists, const struct Known *known) {
        int64_t window = accumulator_window_from(search->sums, 0);

        while (window != INT64_MAX) {
                int64_t there;
                int r, code;

                (void) sqlite3_reset(lists);
                if (sqlite3_bind_int64(lists, 1, known->id) != SQLITE_OK ||
                        sqlite3_bind_int64(lists, 2, window) != SQLITE_OK)
                        return failure_out_of_memory(search->failure);
                while ((code = sqlite3_step(lists)) == SQLITE_ROW) {
                        there = sqlite3_column_int64(lists, 0);
                        window = accumulator_window_from(search->sums, there);
                        if (window != there)
                                break;
                        r = add_list(search, known, window, sqlite3_column_blob(lists, 1),
                                (size_t) sqlite3_column_bytes(lists, 1));
                        if (r < 0)
                                return r;
                }
                if (code == SQLITE_DONE)
                        return 0;
                if (code != SQLITE_ROW)
                        return sqlite_failure(search->db, search->failure, "read the index");
        }
        return 0;
}

static bool is_better(const struct Rank *a, const struct Rank *b) {
        return a->score > b->score || (a->score == b->score && a->id < b->id);
}

static int take_best(struct Search *search) {
        _cleanup_free_ struct Sum *best = calloc(search->wanted, sizeof *best);

        if (!best)
                return failure_out_of_memory(search->failure);
        search->n = accumulator_best(search->sums, best, search->wanted, &search->found);
        for (size_t i = 0; i < search->n; i++)
                search->candidates[i].rank = (struct Rank){ best[i].id, (double) best[i].sum };
        return 0;
}

static int find_candidates(struct Search *search, size_t top_k) {
        sqlite3_stmt *lists _cleanup_reset_ = NULL;
        uint64_t read = 0, enough = (uint64_t) search->model->bm25.chunks / LEXICAL_POSTINGS_SHARE;
        int r;

        if (enough < LEXICAL_POSTINGS_MIN)
                enough = LEXICAL_POSTINGS_MIN;
        if (accumulator_new(&search->sums) < 0)
                return failure_out_of_memory(search->failure);
        r = search->project ? restrict_to_project(search) : 0;
        if (r >= 0)
                r = index_reader_prepare(search->reader,
                        "SELECT window, data FROM postings WHERE term_id = ?1 AND window >= ?2",
                        &lists, search->failure);
        for (size_t i = 0; r >= 0 && i < search->n_known; i++) {
                read += search->known[i].chunks;
                if (read > enough && accumulator_count(search->sums, top_k) >= top_k)
                        break;
                r = add_lists(search, lists, &search->known[i]);
        }
        return r < 0 ? r : take_best(search);
}

/* Whole scores. */

/* Room for so many bytes more. */
static int reserve(struct Search *search, size_t size) {
        size_t allocated = 2 * search->vectors_allocated + size + (64 << 10);
        uint8_t *vectors;

        if (search->vectors && search->vectors_allocated - search->vectors_size >= size)
                return 0;
        vectors = realloc(search->vectors, allocated);
        if (!vectors)
                return -ENOMEM;
        search->vectors = vectors;
        search->vectors_allocated = allocated;
        return 0;
}

static void blob_closep(sqlite3_blob **blob) {
        (void) sqlite3_blob_close(*blob);
}

static int compare_ids(const void *a, const void *b) {
        const struct Candidate *x = a, *y = b;

        return x->rank.id < y->rank.id ? -1 : x->rank.id > y->rank.id;
}

static int read_vector(struct Search *search, sqlite3_blob **blob, struct Candidate *candidate) {
        int code, size;

        /* A handle that is moved on finds its next row in a fraction of the time of a query. */
        code = *blob ? sqlite3_blob_reopen(*blob, candidate->rank.id)
                     : sqlite3_blob_open(search->db, "main", "chunk_terms", "data",
                               candidate->rank.id, 0, blob);
        if (code == SQLITE_ERROR) /* there is none */
                return term_index_damaged(search->db, search->failure);
        if (code != SQLITE_OK)
                return sqlite_failure(search->db, search->failure, "read the index");
        size = sqlite3_blob_bytes(*blob);
        if (reserve(search, (size_t) size) < 0)
                return failure_out_of_memory(search->failure);
        if (sqlite3_blob_read(*blob, search->vectors + search->vectors_size, size, 0) != SQLITE_OK)
                return sqlite_failure(search->db, search->failure, "read the index");
        candidate->size = (size_t) size;
        search->vectors_size += candidate->size;
        return 0;
}

/* In the order of the table. */
static int read_vectors(struct Search *search) {
        sqlite3_blob *blob _cleanup_(blob_closep) = NULL;
        int r = 0;

        if (search->n > 1)
                qsort(search->candidates, search->n, sizeof *search->candidates, compare_ids);
        for (size_t i = 0; r >= 0 && i < search->n; i++)
                r = read_vector(search, &blob, &search->candidates[i]);
        for (size_t i = 0, at = 0; r >= 0 && i < search->n; at += search->candidates[i++].size)
                search->candidates[i].vector = search->vectors + at;
        return r;
}

static int compare_candidates(const void *a, const void *b) {
        const struct Candidate *x = a, *y = b;

        return is_better(&x->rank, &y->rank) ? -1 : is_better(&y->rank, &x->rank);
}

static void sort_candidates(struct Search *search) {
        if (search->n > 1)
                qsort(search->candidates, search->n, sizeof *search->candidates,
                        compare_candidates);
}

static int score_all(struct Search *search) {
        for (size_t i = 0; i < search->n; i++) {
                struct Candidate *candidate = &search->candidates[i];

                if (term_vector_score(candidate->vector, candidate->size, search->model->terms,
                            search->model->n_terms, &search->model->bm25,
                            &candidate->rank.score) < 0)
                        return term_index_damaged(search->db, search->failure);
        }
        sort_candidates(search);
        return 0;
}

static int add_feedback(struct Search *search) {
        struct FeedbackChunk chunks[FEEDBACK_CHUNKS];
        size_t n = 0;

        for (; n < FEEDBACK_CHUNKS && n < search->n; n++)
                chunks[n] = (struct FeedbackChunk){
                        .vector = search->candidates[n].vector,
                        .size = search->candidates[n].size,
                        .score = search->candidates[n].rank.score,
                };
        return feedback_add(search->reader, chunks, n, search->model->terms,
                &search->model->n_terms, search->failure);
}

static int add_proximity(struct Search *search, size_t top_k) {
        size_t n = top_k > CLOSE_LOOK_MAX / 2 ? CLOSE_LOOK_MAX : 2 * top_k;
        int r;

        if (search->n_known < 2)
                return 0;
        r = close_look(search->reader, search->words, search->model, search->candidates,
                n < search->n ? n : search->n, top_k, search->failure);
        if (r < 0)
                return r;
        sort_candidates(search);
        return 0;
}

static size_t how_many_to_score(size_t top_k) {
        size_t n = LEXICAL_CANDIDATES_TIMES * top_k;

        if (n > LEXICAL_CANDIDATES_MAX)
                n = top_k > LEXICAL_CANDIDATES_MAX ? top_k : LEXICAL_CANDIDATES_MAX;
        return n > LEXICAL_CANDIDATES_MIN ? n : LEXICAL_CANDIDATES_MIN;
}

static int rank(struct Search *search, size_t top_k) {
        int r;

        search->wanted = how_many_to_score(top_k);
        search->candidates = calloc(search->wanted, sizeof *search->candidates);
        if (!search->candidates)
                return failure_out_of_memory(search->failure);
        r = index_reader_begin(search->reader, search->failure);
        if (r < 0)
                return r;
        search->model->bm25 = *index_reader_bm25(search->reader);
        r = find_words(search);
        if (r >= 0)
                r = find_candidates(search, top_k);
        if (r >= 0)
                r = read_vectors(search);
        if (r >= 0)
                r = score_all(search);
        if (r >= 0)
                r = add_feedback(search);
        if (r >= 0)
                r = score_all(search);
        return r < 0 ? r : add_proximity(search, top_k);
}

int lexical_rank(struct IndexReader *reader, const struct Project *project,
        const struct PromptWords *words, size_t top_k, struct Ranking *ret_ranking,
        struct Failure *failure) {
        _cleanup_(search_clear) struct Search search = {
                .reader = reader,
                .db = index_reader_database(reader),
                .words = words,
                .project = project,
                .failure = failure,
        };
        struct Ranking ranking = { 0 };
        int r;

        search.model = calloc(1, sizeof *search.model);
        if (!search.model)
                return failure_out_of_memory(failure);
        r = rank(&search, top_k);
        if (r < 0)
                return r;
        ranking.candidates = search.found;
        ranking.n = search.n < top_k ? search.n : top_k;
        ranking.best = calloc(ranking.n + 1, sizeof *ranking.best);
        if (!ranking.best)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < ranking.n; i++)
                ranking.best[i] = search.candidates[i].rank;
        ranking.model = STEAL(search.model);
        *ret_ranking = ranking;
        return 0;
}

void ranking_done(struct Ranking *ranking) {
        free(ranking->best);
        free(ranking->model);
        *ranking = (struct Ranking){ 0 };
}
