/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/feedback.h"

#include <errno.h>
#include <math.h>

#include "lib/knowledge/posting.h"
#include "store-fixture.h"

#define CHUNKS    100
#define WORDS_MAX 60 /* of a prompt here */

/* Terms by their ids; the letters are what is said of them below. */
enum {
        ASKED = 1,  /* the prompt's word */
        TYPICAL,    /* in three of the best, and rare */
        LESS,       /* in two of them, and less rare */
        OWN,        /* in one of them */
        COMMON,     /* in all of them, and in too many others */
        SHORT,      /* typical, but of two bytes */
        SHORT_WIDE, /* typical, and of one character of three bytes */
};

static int feedback_setup(void **state) {
        if (fixture_new_with_store(state) < 0)
                return -1;
        fixture_execute(*state,
                "INSERT INTO terms VALUES (1, 'asked', 10), (2, 'typical', 5), (3, 'less', 20),"
                " (4, 'own', 3), (5, 'common', 26), (6, 'ab', 3), (7, '\xe5\x85\x89', 3);"
                "INSERT OR REPLACE INTO state VALUES ('index_chunks', 100), ('index_spans', 100),"
                " ('index_length', 5000)");
        return 0;
}

/* Each of them once. */
static void add_terms(struct PostingWriter *vector, const int *terms, size_t n) {
        for (size_t i = 0; i < n; i++)
                assert_int_equal(vector_append(vector, (uint64_t) terms[i], 1), 0);
}

static void vector_of(struct PostingWriter *vector, uint64_t length, const int *terms, size_t n) {
        posting_writer_reset(vector);
        assert_int_equal(vector_begin(vector, length), 0);
        add_terms(vector, terms, n);
}

struct Best {
        struct PostingWriter vectors[3];
        struct FeedbackChunk chunks[3];
        struct Bm25 bm25;
        struct WeightedTerm terms[WORDS_MAX + FEEDBACK_TERMS_MAX];
        size_t n_terms;
};

static void open_vectors(struct Best *best) {
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(term_vector_open(best->vectors[i].data, best->vectors[i].size,
                                         &best->chunks[i].vector),
                        0);
}

static struct Best *best_new(void) {
        struct Best *best = calloc(1, sizeof *best);

        assert_non_null(best);
        vector_of(&best->vectors[0], 50, (int[]){ ASKED, TYPICAL, LESS, COMMON, SHORT }, 5);
        vector_of(&best->vectors[1], 50, (int[]){ ASKED, TYPICAL, OWN, COMMON, SHORT, SHORT_WIDE },
                6);
        vector_of(&best->vectors[2], 50, (int[]){ TYPICAL, LESS, COMMON, SHORT, SHORT_WIDE }, 5);
        open_vectors(best);
        for (size_t i = 0; i < 3; i++)
                best->chunks[i].score = 2;
        bm25_set(&best->bm25,
                &(struct IndexTotals){ .chunks = CHUNKS, .spans = CHUNKS, .length = CHUNKS * 50 });
        best->terms[0] = (struct WeightedTerm){ ASKED, bm25_idf(&best->bm25, 10) };
        best->n_terms = 1;
        return best;
}

static void best_free(struct Best *best) {
        for (size_t i = 0; i < 3; i++)
                posting_writer_clear(&best->vectors[i]);
        free(best);
}

static double weight_of(const struct Best *best, int64_t id) {
        double weight = 0;

        for (size_t i = 0; i < best->n_terms; i++) {
                assert_true(i == 0 || best->terms[i - 1].id < best->terms[i].id);
                if (best->terms[i].id == id)
                        weight += best->terms[i].weight;
        }
        return weight;
}

static void add(struct StoreFixture *f, struct Best *best, size_t n_chunks) {
        assert_success(f, index_reader_begin(store_index_reader(f->store), &f->failure));
        assert_success(f,
                feedback_add(store_index_reader(f->store), best->chunks, n_chunks, best->terms,
                        &best->n_terms, &f->failure));
}

static void assert_near(double a, double b) {
        if (fabs(a - b) > 1e-9)
                fail_msg("%g is not %g", a, b);
}

static void test_typical_terms_join_with_their_share(void **state) {
        struct StoreFixture *f = *state;
        struct Best *best = best_new();

        add(f, best, 3);
        /* Each chunk has a third, and each term in it an equal part of that. */
        double asked = 2 * bm25_idf(&best->bm25, 10), typical = 3 * bm25_idf(&best->bm25, 5),
               less = 2 * bm25_idf(&best->bm25, 20), wide = 2 * bm25_idf(&best->bm25, 3);
        double sum = asked + typical + less + wide;
        assert_near(weight_of(best, TYPICAL),
                FEEDBACK_SHARE * typical / sum * bm25_idf(&best->bm25, 5));
        assert_near(weight_of(best, LESS), FEEDBACK_SHARE * less / sum * bm25_idf(&best->bm25, 20));
        assert_near(weight_of(best, SHORT_WIDE),
                FEEDBACK_SHARE * wide / sum * bm25_idf(&best->bm25, 3));
        /* A word of the prompt may be typical too. */
        assert_near(weight_of(best, ASKED),
                (1 - FEEDBACK_SHARE + FEEDBACK_SHARE * asked / sum) * bm25_idf(&best->bm25, 10));
        best_free(best);
}

static void test_what_is_of_one_chunk_or_of_all_is_not_typical(void **state) {
        struct StoreFixture *f = *state;
        struct Best *best = best_new();

        add(f, best, 3);
        assert_true(weight_of(best, OWN) == 0);
        assert_true(weight_of(best, COMMON) == 0);
        assert_true(weight_of(best, SHORT) == 0);
        assert_true(weight_of(best, TYPICAL) > 0);
        best_free(best);
}

static void test_better_chunks_say_more(void **state) {
        struct StoreFixture *f = *state;
        struct Best *best = best_new();

        best->chunks[0].score = 8; /* it has LESS; the second has SHORT_WIDE */
        fixture_execute(f, "UPDATE terms SET chunks = 3 WHERE id = 3");
        add(f, best, 3);
        assert_true(weight_of(best, LESS) > weight_of(best, SHORT_WIDE));
        best_free(best);
}

/* A score is a logarithm: each ln 2 more is twice the share. */
static void test_a_chunk_counts_by_its_odds(void **state) {
        struct StoreFixture *f = *state;
        struct Best *best = best_new();

        best->chunks[0].score += log(2); /* shares of 2, 1 and 1 quarters */
        add(f, best, 3);
        double asked = 3 * bm25_idf(&best->bm25, 10), typical = 4 * bm25_idf(&best->bm25, 5),
               less = 3 * bm25_idf(&best->bm25, 20), wide = 2 * bm25_idf(&best->bm25, 3);
        double sum = asked + typical + less + wide;
        assert_near(weight_of(best, LESS), FEEDBACK_SHARE * less / sum * bm25_idf(&best->bm25, 20));
        assert_near(weight_of(best, SHORT_WIDE),
                FEEDBACK_SHARE * wide / sum * bm25_idf(&best->bm25, 3));
        best_free(best);
}

/* As a share of all words: in a text of twice the length each has half of it. */
static void test_what_is_said_more_often_counts_more(void **state) {
        struct StoreFixture *f = *state;
        struct Best *best = best_new();

        vector_of(&best->vectors[0], 100, (int[]){ ASKED, TYPICAL, LESS }, 3);
        assert_int_equal(vector_append(&best->vectors[0], LESS, 5), 0);
        open_vectors(best);
        add(f, best, 3);
        double asked = 1.5 * bm25_idf(&best->bm25, 10), typical = 2.5 * bm25_idf(&best->bm25, 5),
               less = 4 * bm25_idf(&best->bm25, 20), wide = 2 * bm25_idf(&best->bm25, 3);
        double sum = asked + typical + less + wide;
        assert_near(weight_of(best, LESS), FEEDBACK_SHARE * less / sum * bm25_idf(&best->bm25, 20));
        assert_near(weight_of(best, SHORT_WIDE),
                FEEDBACK_SHARE * wide / sum * bm25_idf(&best->bm25, 3));
        best_free(best);
}

/* What is typical weighs as much as a quarter of 30 words at most. */
static void test_of_a_long_prompt_the_typical_terms_have_less_of_a_share(void **state) {
        struct StoreFixture *f = *state;
        static const struct {
                size_t n_words;
                double kept, typical;
        } cases[] = { { 20, 0.75, 5 }, { 30, 0.75, 7.5 }, { 31, 1 - 7.5 / 31, 7.5 },
                { 60, 0.875, 7.5 } };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct Best *best = best_new();
                double typical = 3 * bm25_idf(&best->bm25, 5),
                       sum = 2 * bm25_idf(&best->bm25, 10) + typical +
                        2 * bm25_idf(&best->bm25, 20) + 2 * bm25_idf(&best->bm25, 3);

                for (; best->n_terms < cases[i].n_words; best->n_terms++)
                        best->terms[best->n_terms] =
                                (struct WeightedTerm){ 1000 + (int64_t) best->n_terms, 2 };
                add(f, best, 3);
                assert_near(weight_of(best, 1001), 2 * cases[i].kept);
                assert_near(weight_of(best, TYPICAL),
                        cases[i].typical * typical / sum * bm25_idf(&best->bm25, 5));
                best_free(best);
        }
}

/* Damage that we cannot tell from a chunk of nothing. */
static void test_a_vector_of_no_length_has_numbers(void **state) {
        struct StoreFixture *f = *state;
        struct Best *best = best_new();

        vector_of(&best->vectors[0], 0, (int[]){ ASKED, TYPICAL, LESS }, 3);
        open_vectors(best);
        add(f, best, 3);
        for (size_t i = 0; i < best->n_terms; i++)
                assert_true(isfinite(best->terms[i].weight));
        best_free(best);
}

/* What only chunks far behind have in common outweighs nothing. */
static void test_what_is_far_behind_hardly_counts(void **state) {
        struct StoreFixture *f = *state;
        struct Best *best = best_new();

        best->chunks[0].score = 2000; /* and the odds of the others are less than a double holds */
        add(f, best, 3);
        assert_true(weight_of(best, TYPICAL) > 0 && weight_of(best, LESS) > 0);
        assert_true(weight_of(best, SHORT_WIDE) == 0);
        best_free(best);
}

static void test_one_chunk_or_none_changes_no_weight(void **state) {
        struct StoreFixture *f = *state;
        struct Best *best = best_new();
        double before = weight_of(best, ASKED);

        add(f, best, 0);
        add(f, best, 1);
        assert_int_equal(best->n_terms, 1);
        assert_true(weight_of(best, ASKED) == before);
        best_free(best);
}

static void test_only_the_most_typical_join(void **state) {
        struct StoreFixture *f = *state;
        struct Best *best = best_new();

        for (int id = 100; id < 200; id++) {
                char *sql = sqlite3_mprintf(
                        "INSERT INTO terms VALUES (%d, 'term%d', %d)", id, id, 2 + id % 20);

                fixture_execute(f, sql);
                sqlite3_free(sql);
                for (size_t i = 0; i < 2; i++)
                        add_terms(&best->vectors[i], &id, 1);
        }
        open_vectors(best);
        add(f, best, 2);
        /* The rarest of all, and no more than there is room for. */
        assert_true(best->n_terms <= 1 + FEEDBACK_TERMS_MAX);
        assert_true(best->n_terms >= FEEDBACK_TERMS_MAX);
        assert_true(weight_of(best, 100) > 0 && weight_of(best, 180) > 0);
        assert_true(weight_of(best, 119) == 0 && weight_of(best, 199) == 0);
        best_free(best);
}

static void test_what_is_no_vector_is_told(void **state) {
        struct StoreFixture *f = *state;
        struct Best *best = best_new();

        /* Of five words; the term is cut. */
        assert_int_equal(term_vector_open("\x05\x05", 2, &best->chunks[1].vector), 0);
        assert_int_equal(feedback_add(store_index_reader(f->store), best->chunks, 3, best->terms,
                                 &best->n_terms, &f->failure),
                -EBADMSG);
        assert_int_equal(f->failure.event, EVENT_DATABASE_INVALID);
        best_free(best);
}

int main(void) {
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, feedback_setup, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_STORE(test_typical_terms_join_with_their_share),
                ON_STORE(test_what_is_of_one_chunk_or_of_all_is_not_typical),
                ON_STORE(test_better_chunks_say_more),
                ON_STORE(test_a_chunk_counts_by_its_odds),
                ON_STORE(test_what_is_said_more_often_counts_more),
                ON_STORE(test_of_a_long_prompt_the_typical_terms_have_less_of_a_share),
                ON_STORE(test_a_vector_of_no_length_has_numbers),
                ON_STORE(test_what_is_far_behind_hardly_counts),
                ON_STORE(test_one_chunk_or_none_changes_no_weight),
                ON_STORE(test_only_the_most_typical_join),
                ON_STORE(test_what_is_no_vector_is_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
