/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/lexical.h"
#include "lib/knowledge/proximity.h"

#include <math.h>

#include "lib/knowledge/posting.h"
#include "lib/knowledge/term-index.h"
#include "lib/knowledge/term-vector.h"
#include "store-fixture.h"

static char vault[] = "vault";

static struct Ranking rank(
        struct StoreFixture *f, const struct Project *project, const char *prompt, size_t top_k) {
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words(prompt);
        struct Ranking ranking = { 0 };

        assert_success(f,
                lexical_rank(store_index_reader(f->store), project, words, top_k, &ranking,
                        &f->failure));
        assert_true(ranking.n <= top_k && ranking.n <= ranking.candidates);
        for (size_t i = 1; i < ranking.n; i++)
                assert_true(ranking.best[i - 1].score > ranking.best[i].score ||
                        (ranking.best[i - 1].score == ranking.best[i].score &&
                                ranking.best[i - 1].id < ranking.best[i].id));
        return ranking;
}

/* `ids` as "3 1 2". */
static void assert_ranked(struct StoreFixture *f, const struct Project *project, const char *prompt,
        size_t top_k, const char *ids) {
        _cleanup_(ranking_done) struct Ranking ranking = rank(f, project, prompt, top_k);
        char text[1024] = "", *end = text;

        for (size_t i = 0; i < ranking.n; i++)
                end += sprintf(end, "%s%d", i > 0 ? " " : "", (int) ranking.best[i].id);
        assert_string_equal(text, ids);
}

static int64_t add(struct StoreFixture *f, const char *path, const char *content) {
        return fixture_add_chunk(f, fixture_add_document(f, vault, path), "t", "[]", content);
}

/* The next chunk has this id. */
static void go_on_at(struct StoreFixture *f, int64_t id) {
        char *sql = sqlite3_mprintf(
                "UPDATE sqlite_sequence SET seq = %lld WHERE name = 'chunks'", (long long) id - 1);

        fixture_execute(f, sql);
        sqlite3_free(sql);
}

/* As in the book, of a term with this frequency; its weight. */
static double plain_bm25(double frequency, double length, double average) {
        return frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * length / average));
}

static double plain_idf(double chunks, double with) {
        return pow(log(1 + (chunks - with + 0.5) / (with + 0.5)), 1.1);
}

static void assert_near(double a, double b) {
        if (fabs(a - b) > 1e-6)
                fail_msg("%g is not %g", a, b);
}

static void test_scores_are_those_of_the_formula(void **state) {
        struct StoreFixture *f = *state;

        add(f, "1", "glass glass scale");
        add(f, "2", "glass mirror");
        add(f, "3", "motor motor motor motor motor motor motor motor motor motor");
        _cleanup_(ranking_done) struct Ranking ranking = rank(f, NULL, "glass scale", 10);
        /* Title and path are words too: 2 + 2 in each. Each is a document of one chunk. */
        double average = (7 + 6 + 14) / 3.0, glass = plain_idf(3, 2), scale = plain_idf(3, 1);

        assert_int_equal(ranking.n, 2);
        assert_int_equal(ranking.candidates, 2);
        assert_int_equal(ranking.best[0].id, 1);
        /* No term is typical: what two chunks have is in more than a quarter of all. The two stand
         * together, once, and "glass" is the more common of them. */
        assert_near(ranking.best[0].score,
                glass * plain_bm25(2, 7, average) + scale * plain_bm25(1, 7, average) +
                        PROXIMITY_SHARE * glass / 2);
        assert_near(ranking.best[1].score, glass * plain_bm25(1, 6, average));
}

static void test_half_of_a_score_is_that_of_the_span(void **state) {
        struct StoreFixture *f = *state;
        static const char *const contents[] = { "glass glass scale", "glass mirror polish" };

        (void) fixture_add_chunks(f, fixture_add_document(f, vault, "1"), "t", "[]", contents, 2);
        add(f, "2", "motor");
        _cleanup_(ranking_done) struct Ranking ranking = rank(f, NULL, "scale", 10);
        /* 4 words in each beside the content. */
        double chunk = (7 + 7 + 5) / 3.0, span = (7 + 7 + 5) / 2.0;

        assert_int_equal(ranking.n, 1); /* the span finds nothing that a chunk does not */
        assert_near(ranking.best[0].score,
                plain_idf(3, 1) * (plain_bm25(1, 7, chunk) / 2 + plain_bm25(1, 14, span) / 2));

        _cleanup_(ranking_done) struct Ranking two = rank(f, NULL, "glass", 10);
        assert_int_equal(two.n, 2);
        for (size_t i = 0; i < 2; i++)
                assert_near(two.best[i].score,
                        plain_idf(3, 2) *
                                (plain_bm25(two.best[i].id == 1 ? 2 : 1, 7, chunk) / 2 +
                                        plain_bm25(3, 14, span) / 2));
}

static void test_what_stands_around_a_chunk_ranks_it(void **state) {
        struct StoreFixture *f = *state;
        static const char *const other[] = { "glass", "rain" },
                                 *const around[] = { "glass", "lens" };

        (void) fixture_add_chunks(f, fixture_add_document(f, vault, "a"), "t", "[]", other, 2);
        (void) fixture_add_chunks(f, fixture_add_document(f, vault, "b"), "t", "[]", around, 2);
        for (int i = 0; i < 20; i++)
                add(f, (char[]){ 'x', (char) ('a' + i), '\0' }, "something else");
        assert_ranked(f, NULL, "glass", 10, "1 3");
}

/* "glass" is typical, as chunks 1 and 3 have it, and so of more weight than the rarer "lens". */
static void test_what_answers_best_without_feedback_stays_first(void **state) {
        struct StoreFixture *f = *state;
        static const char *const contents[] = { "glass", "lens" };

        add(f, "a", "glass");
        (void) fixture_add_chunks(f, fixture_add_document(f, vault, "b"), "t", "[]", contents, 2);
        for (int i = 0; i < 20; i++)
                add(f, (char[]){ 'x', (char) ('a' + i), '\0' }, "something else");
        _cleanup_(ranking_done) struct Ranking ranking = rank(f, NULL, "glass lens", 10);

        assert_int_equal(ranking.n, 3);
        assert_int_equal(ranking.model->first, 3);
        assert_true(ranking.model->lead > 0);
        assert_int_equal(ranking.best[0].id, 3);
        assert_int_equal(ranking.best[1].id, 2);
        assert_true(ranking.best[0].score == nextafter(ranking.best[1].score, HUGE_VAL));
}

static void test_rare_words_weigh_more(void **state) {
        struct StoreFixture *f = *state;

        for (int i = 0; i < 20; i++) {
                char path[8];

                (void) snprintf(path, sizeof path, "%d", i);
                add(f, path, i == 13 ? "rare" : "usual");
        }
        _cleanup_(ranking_done) struct Ranking ranking = rank(f, NULL, "usual rare", 3);
        assert_int_equal(ranking.best[0].id, 14);
        assert_int_equal(ranking.best[1].id, 1);
        assert_int_equal(ranking.candidates, 20);
}

static void test_equal_ones_come_by_id_over_all_windows(void **state) {
        struct StoreFixture *f = *state;

        add(f, "a", "glass");
        go_on_at(f, 8191);
        add(f, "b", "glass");
        add(f, "c", "glass");
        go_on_at(f, 10 * TERM_WINDOW);
        add(f, "d", "glass");
        assert_ranked(f, NULL, "glass", 10, "1 8191 8192 81920");
        assert_ranked(f, NULL, "glass", 2, "1 8191");
        assert_ranked(f, NULL, "glass", 1000, "1 8191 8192 81920");
}

static void test_what_is_not_there_finds_nothing(void **state) {
        struct StoreFixture *f = *state;

        assert_ranked(f, NULL, "glass", 10, "");
        add(f, "a", "glass");
        assert_ranked(f, NULL, "nothing", 10, "");
        assert_ranked(f, NULL, "nothing glass", 10, "1");
}

static void test_a_project_finds_its_own_in_all_windows(void **state) {
        struct StoreFixture *f = *state;
        static char in[] = "in", other[] = "other";
        struct IngestRoot roots[] = { { vault, in, NULL } };
        struct Project project = { .id = in, .roots = roots, .n_roots = 1 };

        add(f, "in/a", "glass");
        add(f, "x/b", "glass");
        go_on_at(f, 3 * TERM_WINDOW); /* a window of others */
        add(f, "x/c", "glass");
        go_on_at(f, 5 * TERM_WINDOW);
        add(f, "x/d", "glass");
        add(f, "in/e", "glass");
        add(f, "in/f", "scale");
        go_on_at(f, 9 * TERM_WINDOW - 1);
        add(f, "in/g", "glass");
        add(f, "x/h", "glass");
        assert_ranked(f, &project, "glass", 10, "1 40961 73727");
        assert_ranked(f, &project, "scale", 10, "40962");
        assert_ranked(f, &project, "nothing", 10, "");

        roots[0].subpath = other;
        assert_ranked(f, &project, "glass", 10, "");
}

/* As if there were so many, of the same lengths. */
static void make_common(struct StoreFixture *f, const char *term) {
        int n = LEXICAL_POSTINGS_SHARE * LEXICAL_POSTINGS_MIN;
        char *sql = sqlite3_mprintf(
                "UPDATE terms SET chunks = %d WHERE term = %Q;"
                "UPDATE state SET value = value * %d WHERE key = 'index_length';"
                "UPDATE state SET value = %d WHERE key IN ('index_chunks', 'index_spans')",
                LEXICAL_POSTINGS_MIN + 1, term, n / 3, n);

        assert_int_equal(fixture_query(f, "SELECT count(*) FROM chunks"), 3);
        fixture_execute(f, sql);
        sqlite3_free(sql);
}

static void test_the_rarest_words_decide_and_common_ones_rank(void **state) {
        struct StoreFixture *f = *state;

        add(f, "a", "straw straw straw");
        add(f, "b", "needle hay");
        add(f, "c", "needle straw");
        make_common(f, "straw");
        _cleanup_(ranking_done) struct Ranking ranking = rank(f, NULL, "straw needle", 2);
        assert_int_equal(ranking.candidates, 2);
        assert_int_equal(ranking.n, 2);
        assert_int_equal(ranking.best[0].id, 3);
        assert_int_equal(ranking.best[1].id, 2);
        /* Alone it is the rarest. */
        assert_ranked(f, NULL, "straw", 10, "1 3");
}

static void test_common_words_are_looked_up_where_rare_ones_find_too_little(void **state) {
        struct StoreFixture *f = *state;
        static char in[] = "in";
        struct IngestRoot roots[] = { { vault, in, NULL } };
        struct Project project = { .id = in, .roots = roots, .n_roots = 1 };

        add(f, "x/a", "needle");
        add(f, "in/b", "straw");
        add(f, "x/c", "straw");
        make_common(f, "straw");
        assert_ranked(f, NULL, "straw needle", 1, "1");
        assert_ranked(f, NULL, "straw needle", 2, "1 2");
        assert_ranked(f, &project, "straw needle", 1, "2");
        assert_ranked(f, &project, "straw needle", 10, "2");
}

/* More than get their whole score unless more are asked for. */
static void test_more_candidates_than_are_scored_are_counted(void **state) {
        struct StoreFixture *f = *state;
        int n = LEXICAL_CANDIDATES_MIN + 50;

        fixture_execute(f, "BEGIN");
        for (int i = 0; i < n; i++)
                add(f, (char[]){ (char) ('a' + i % 26), (char) ('a' + i / 26), '\0' },
                        i == n - 1 ? "glass glass glass" : "glass");
        fixture_execute(f, "COMMIT");
        _cleanup_(ranking_done) struct Ranking few = rank(f, NULL, "glass", 5);
        _cleanup_(ranking_done) struct Ranking all = rank(f, NULL, "glass", 1000);

        assert_int_equal(few.candidates, n);
        assert_int_equal(few.n, 5);
        assert_int_equal(few.best[0].id, n); /* the last is the best */
        assert_int_equal(few.best[1].id, 1);
        assert_int_equal(all.candidates, n);
        assert_int_equal(all.n, n);
}

/* What the best have in common ranks the rest. */
static void test_feedback_reorders_what_was_found(void **state) {
        struct StoreFixture *f = *state;

        add(f, "a", "glass glass glass mirror polish");
        add(f, "b", "glass glass glass mirror polish");
        add(f, "c", "glass weather rain");
        add(f, "d", "glass mirror polish");
        for (int i = 0; i < 40; i++)
                add(f, (char[]){ 'x', (char) ('a' + i % 26), (char) ('a' + i / 26), '\0' },
                        "something else");
        add(f, "e", "mirror polish"); /* found by no word of the prompt */
        assert_ranked(f, NULL, "glass", 10, "1 2 4 3");
}

/* Of `n` words at most, with many neighbours, ends and repetitions. */
static void write_words(uint64_t *random, size_t n, char *text) {
        static const char *const words[] = { "glass", "scale", "motor", "wing", "flow", "lens" };

        for (size_t i = 0; i < n; i++) {
                *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                text += sprintf(text, "%s ", words[(*random >> 33) % 6]);
        }
}

/* What is asked for decides which texts are read for their neighbours, and never what comes out. */
static void test_fewer_are_the_first_of_more(void **state) {
        struct StoreFixture *f = *state;
        uint64_t random = 1;
        char text[1024];

        for (size_t i = 0; i < 20; i++) {
                write_words(&random, 3 + i * 7 % 30, text);
                add(f, (char[]){ (char) ('a' + i), '\0' }, text);
        }
        for (size_t round = 0; round < 50; round++) {
                write_words(&random, 2 + round % 9, text);
                _cleanup_(ranking_done) struct Ranking all = rank(f, NULL, text, 20);

                for (size_t top_k = 10; top_k < 20; top_k++) {
                        _cleanup_(ranking_done) struct Ranking some = rank(f, NULL, text, top_k);

                        assert_int_equal(some.n, all.n < top_k ? all.n : top_k);
                        assert_memory_equal(some.best, all.best, some.n * sizeof *some.best);
                }
        }
}

int main(void) {
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_new_with_store, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_STORE(test_scores_are_those_of_the_formula),
                ON_STORE(test_half_of_a_score_is_that_of_the_span),
                ON_STORE(test_what_stands_around_a_chunk_ranks_it),
                ON_STORE(test_what_answers_best_without_feedback_stays_first),
                ON_STORE(test_rare_words_weigh_more),
                ON_STORE(test_equal_ones_come_by_id_over_all_windows),
                ON_STORE(test_what_is_not_there_finds_nothing),
                ON_STORE(test_a_project_finds_its_own_in_all_windows),
                ON_STORE(test_the_rarest_words_decide_and_common_ones_rank),
                ON_STORE(test_common_words_are_looked_up_where_rare_ones_find_too_little),
                ON_STORE(test_more_candidates_than_are_scored_are_counted),
                ON_STORE(test_feedback_reorders_what_was_found),
                ON_STORE(test_fewer_are_the_first_of_more),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
