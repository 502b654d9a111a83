/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/lexical.h"

#include <math.h>
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
        size_t wanted;
        uint64_t found;
        struct Shortlist list;
};

static void search_clear(struct Search *search) {
        accumulator_free(search->sums);
        shortlist_clear(&search->list);
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
        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
                int64_t id = sqlite3_column_int64(statement, 0);

                if (id < 0)
                        return term_index_damaged(search->db, search->failure);
                if (accumulator_allow(search->sums, id) < 0)
                        return failure_out_of_memory(search->failure);
        }
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

static int take_best(struct Search *search) {
        _cleanup_free_ struct Sum *best = calloc(search->wanted, sizeof *best);

        if (!best || shortlist_allocate(&search->list, search->wanted) < 0)
                return failure_out_of_memory(search->failure);
        search->list.n = accumulator_best(search->sums, best, search->wanted, &search->found);
        for (size_t i = 0; i < search->list.n; i++)
                search->list.chunks[i].rank.id = best[i].id;
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

static int add_feedback(struct Search *search) {
        struct FeedbackChunk chunks[FEEDBACK_CHUNKS];
        size_t n = 0;

        for (; n < FEEDBACK_CHUNKS && n < search->list.n; n++)
                chunks[n] = (struct FeedbackChunk){
                        .vector = search->list.chunks[n].vector,
                        .score = search->list.chunks[n].rank.score,
                };
        return feedback_add(search->reader, chunks, n, search->model->terms,
                &search->model->n_terms, search->failure);
}

static int score_with_feedback(struct Search *search) {
        struct LexicalModel *model = search->model;
        struct ScoredChunk *chunks = search->list.chunks;
        double best;
        int r;

        if (search->list.n == 0)
                return 0;
        model->first = chunks[0].rank.id;
        r = add_feedback(search);
        if (r >= 0)
                r = shortlist_score(&search->list, search->reader, model->terms, model->n_terms,
                        search->failure);
        if (r < 0 || chunks[0].rank.id == model->first)
                return r;
        /* What answers the prompt's own words best may be the one that is wanted: what is typical
         * of the others orders them, and does not take its place. */
        best = nextafter(chunks[0].rank.score, HUGE_VAL);
        for (size_t i = 1; i < search->list.n; i++) {
                if (chunks[i].rank.id != model->first)
                        continue;
                model->lead = best - chunks[i].rank.score;
                chunks[i].rank.score = best;
        }
        shortlist_sort(&search->list);
        return 0;
}

static int add_proximity(struct Search *search, size_t top_k) {
        size_t n = top_k > CLOSE_LOOK_MAX / 2 ? CLOSE_LOOK_MAX : 2 * top_k;
        int r;

        if (search->n_known < 2)
                return 0;
        r = close_look(search->reader, search->words, search->model, search->list.chunks,
                n < search->list.n ? n : search->list.n, top_k, search->failure);
        if (r < 0)
                return r;
        shortlist_sort(&search->list);
        return 0;
}

static size_t how_many_to_score(size_t top_k) {
        size_t n = LEXICAL_CANDIDATES_TIMES * top_k;

        if (n > LEXICAL_CANDIDATES_MAX)
                n = top_k > LEXICAL_CANDIDATES_MAX ? top_k : LEXICAL_CANDIDATES_MAX;
        return n > LEXICAL_CANDIDATES_MIN ? n : LEXICAL_CANDIDATES_MIN;
}

static size_t how_many_to_keep(const struct Search *search, size_t top_k) {
        size_t n = search->wanted / LEXICAL_KEPT_SHARE;

        return n > top_k ? n : top_k;
}

static int rank(struct Search *search, size_t top_k) {
        int r;

        search->wanted = how_many_to_score(top_k);
        r = index_reader_begin(search->reader, search->failure);
        if (r < 0)
                return r;
        search->model->bm25 = *index_reader_bm25(search->reader);
        r = find_words(search);
        if (r >= 0)
                r = find_candidates(search, top_k);
        if (r >= 0)
                r = shortlist_read(&search->list, search->reader, search->failure);
        if (r >= 0)
                r = shortlist_narrow(&search->list, how_many_to_keep(search, top_k), search->reader,
                        search->model->terms, search->model->n_terms, search->failure);
        if (r >= 0)
                r = score_with_feedback(search);
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
        ranking.n = search.list.n < top_k ? search.list.n : top_k;
        ranking.best = calloc(ranking.n + 1, sizeof *ranking.best);
        if (!ranking.best)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < ranking.n; i++)
                ranking.best[i] = search.list.chunks[i].rank;
        ranking.model = STEAL(search.model);
        *ret_ranking = ranking;
        return 0;
}

void ranking_done(struct Ranking *ranking) {
        free(ranking->best);
        free(ranking->model);
        *ranking = (struct Ranking){ 0 };
}
