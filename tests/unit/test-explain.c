/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/explain.h"

#include <math.h>

#include "store-fixture.h"

#define PROMPT "glass scale motor of the mirror"

/* Chunks 1 to 3 are a span. What is in two of few enough is typical, too. */
static int explain_setup(void **state) {
        static const char *const contents[] = { "glass scale polish", "mirror polish glass",
                "rain motor motor" };

        if (fixture_new_with_store(state) < 0)
                return -1;
        struct StoreFixture *f = *state;

        (void) fixture_add_chunks(f, fixture_add_document(f, "vault", "a"), "t", "[]", contents, 3);
        (void) fixture_add_chunk(
                f, fixture_add_document(f, "vault", "b"), "t", "[]", "glass scale mirror");
        for (char i = 'c'; i < 'w'; i++)
                (void) fixture_add_chunk(f, fixture_add_document(f, "vault", (char[]){ i, '\0' }),
                        "t", "[]", "something else");
        return 0;
}

static struct Ranking rank_more(
        struct StoreFixture *f, const struct PromptWords *words, size_t top_k) {
        struct Ranking ranking = { 0 };

        assert_success(f,
                lexical_rank(
                        store_index_reader(f->store), NULL, words, top_k, &ranking, &f->failure));
        return ranking;
}

static struct Ranking rank(struct StoreFixture *f, const struct PromptWords *words) {
        return rank_more(f, words, 10);
}

static int explain(struct StoreFixture *f, const struct Ranking *ranking, int64_t chunk,
        struct Explanation **ret, struct Failure *failure) {
        return explain_chunk(store_index_reader(f->store), ranking, chunk, ret, failure);
}

static const struct TermScore *find(const struct Explanation *explanation, const char *term) {
        for (size_t i = 0; i < explanation->n_terms; i++)
                if (strcmp(explanation->terms[i].term, term) == 0)
                        return &explanation->terms[i];
        return NULL;
}

/* Returns whether one of the terms is typical. */
static bool assert_sum(
        struct StoreFixture *f, const struct Ranking *ranking, const struct Rank *rank) {
        _cleanup_explanation_ struct Explanation *explanation = NULL;
        bool with_typical = false;
        double sum;

        assert_success(f, explain(f, ranking, rank->id, &explanation, &f->failure));
        sum = explanation->proximity + explanation->lead;
        assert_true(explanation->lead ==
                (rank->id == ranking->model->first ? ranking->model->lead : 0));
        for (size_t i = 0; i < explanation->n_terms; i++) {
                const struct TermScore *term = &explanation->terms[i];

                sum += term->score;
                with_typical |= term->typical;
                assert_true(i == 0 || explanation->terms[i - 1].score >= term->score);
                assert_true(term->span_frequency > 0 && term->frequency <= term->span_frequency);
        }
        assert_true(fabs(sum - rank->score) < 1e-9);
        return with_typical;
}

static void test_what_is_told_sums_to_the_score(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words(PROMPT);
        _cleanup_(ranking_done) struct Ranking ranking = rank(f, words);
        bool with_typical = false;

        assert_int_equal(ranking.n, 4);
        for (size_t i = 0; i < ranking.n; i++)
                with_typical |= assert_sum(f, &ranking, &ranking.best[i]);
        assert_true(with_typical);
}

static void test_the_sum_is_right_where_nobody_looked_for_words_that_stand_together(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words("wind lens");
        size_t without = 0;

        for (int i = 0; i < 200; i++)
                (void) fixture_add_chunk(f, 1, "t", "[]", "wind lens");
        _cleanup_(ranking_done) struct Ranking ranking = rank_more(f, words, 100);

        assert_int_equal(ranking.n, 100);
        for (size_t i = 0; i < ranking.n; i++) {
                (void) assert_sum(f, &ranking, &ranking.best[i]);
                without += ranking.best[i].proximity == 0;
        }
        assert_in_range(without, 1, 99);
}

static void test_a_lead_is_part_of_the_sum(void **state) {
        struct StoreFixture *f = *state;
        static const char *const contents[] = { "wind", "lens" };
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words("wind lens");

        (void) fixture_add_chunk(f, fixture_add_document(f, "vault", "x"), "t", "[]", "wind");
        (void) fixture_add_chunks(f, fixture_add_document(f, "vault", "y"), "t", "[]", contents, 2);
        _cleanup_(ranking_done) struct Ranking ranking = rank(f, words);

        assert_int_equal(ranking.n, 3);
        assert_true(ranking.model->lead > 0);
        assert_int_equal(ranking.best[0].id, ranking.model->first);
        for (size_t i = 0; i < ranking.n; i++)
                (void) assert_sum(f, &ranking, &ranking.best[i]);
}

static void test_a_term_of_a_neighbour_counts_by_the_span(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words(PROMPT);
        _cleanup_(ranking_done) struct Ranking ranking = rank(f, words);
        _cleanup_explanation_ struct Explanation *first = NULL, *alone = NULL;

        assert_success(f, explain(f, &ranking, 1, &first, &f->failure));
        const struct TermScore *motor = find(first, "motor"), *glass = find(first, "glass");
        assert_non_null(motor);
        assert_false(motor->typical);
        assert_int_equal(motor->frequency, 0);
        assert_int_equal(motor->span_frequency, 2);
        /* Four chunks of 7 words, three of them one span, and 20 of 6; title and path are 4. */
        double average = (3 * 7 + 7 + 20 * 6) / 22.0;
        assert_true(fabs(motor->score -
                            motor->weight / 2 * 2 * 2.2 /
                                    (2 + 1.2 * (0.25 + 0.75 * 21 / average))) < 1e-9);
        assert_non_null(glass);
        assert_int_equal(glass->frequency, 1);
        assert_int_equal(glass->span_frequency, 2);

        assert_success(f, explain(f, &ranking, 4, &alone, &f->failure));
        assert_null(find(alone, "motor"));
        glass = find(alone, "glass");
        assert_non_null(glass);
        assert_int_equal(glass->frequency, 1);
        assert_int_equal(glass->span_frequency, 1);
}

static void test_a_chunk_that_the_index_does_not_know_stays_unexplained(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words(PROMPT);
        _cleanup_(ranking_done) struct Ranking ranking = rank(f, words);
        _cleanup_explanation_ struct Explanation *explanation = NULL;

        fixture_execute(f, "DELETE FROM chunk_terms WHERE chunk_id = 1");
        assert_success(f, explain(f, &ranking, 1, &explanation, &f->failure));
        assert_null(explanation);
}

static void test_damage_is_told(void **state) {
        struct StoreFixture *f = *state;
        static const char *const damages[] = {
                "UPDATE chunk_terms SET data = x'' WHERE chunk_id = 1",
                "UPDATE chunk_terms SET data = x'0501' WHERE chunk_id = 1",
                "UPDATE span_terms SET data = x''",
                "UPDATE span_terms SET data = x'85'",
                "UPDATE span_terms SET data = x'0501'",
                "DELETE FROM terms WHERE term = 'motor'",
        };
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words(PROMPT);
        _cleanup_(ranking_done) struct Ranking ranking = rank(f, words);

        for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
                _cleanup_explanation_ struct Explanation *explanation = NULL;
                _cleanup_failure_ struct Failure failure = { 0 };

                fixture_execute(f, "BEGIN");
                fixture_execute(f, damages[i]);
                if (explain(f, &ranking, 1, &explanation, &failure) >= 0 ||
                        failure.event != EVENT_DATABASE_INVALID)
                        fail_msg("%s is not told", damages[i]);
                assert_null(explanation);
                fixture_execute(f, "ROLLBACK");
        }
}

int main(void) {
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, explain_setup, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_STORE(test_what_is_told_sums_to_the_score),
                ON_STORE(test_the_sum_is_right_where_nobody_looked_for_words_that_stand_together),
                ON_STORE(test_a_lead_is_part_of_the_sum),
                ON_STORE(test_a_term_of_a_neighbour_counts_by_the_span),
                ON_STORE(test_a_chunk_that_the_index_does_not_know_stays_unexplained),
                ON_STORE(test_damage_is_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
