/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/term-vector.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/knowledge/posting.h"

/* The formula as it stands in the book, with k1 = 1.2 and b = 0.75. */
static double plain_bm25(double frequency, double length, double average) {
        return frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * length / average));
}

static void assert_near(double a, double b) {
        if (fabs(a - b) > 1e-5 * fabs(b))
                fail_msg("%g is not %g", a, b);
}

static void test_values_are_those_of_the_formula(void **state) {
        struct Bm25 bm25;

        (void) state;
        bm25_set(&bm25, 1000, 150000);
        for (uint32_t frequency = 1; frequency <= 15; frequency++)
                for (uint32_t length = 1; length < 1000; length += 7) {
                        uint8_t weight = posting_weight(frequency, length);

                        assert_near((double) bm25.values[weight],
                                plain_bm25(frequency, posting_length(posting_length_class(weight)),
                                        150));
                }
}

static void test_rarer_terms_weigh_more_and_none_nothing(void **state) {
        struct Bm25 bm25;

        (void) state;
        bm25_set(&bm25, 1000, 150000);
        assert_near(bm25_idf(&bm25, 10), log(1 + 990.5 / 10.5));
        for (uint64_t chunks = 1; chunks < 1000; chunks++)
                assert_true(bm25_idf(&bm25, chunks) > bm25_idf(&bm25, chunks + 1));
        assert_true(bm25_idf(&bm25, 1000) > 0);
        assert_true(bm25_idf(&bm25, 5000) > 0); /* more than there are: damaged totals */
}

static void test_a_collection_of_nothing_has_numbers(void **state) {
        struct Bm25 bm25;

        (void) state;
        bm25_set(&bm25, 0, 0);
        assert_true(isfinite(bm25_idf(&bm25, 0)) && isfinite(bm25_idf(&bm25, 1)));
        bm25_set(&bm25, 3, 0);
        for (size_t i = 0; i < 256; i++)
                assert_true(isfinite(bm25.values[i]) && bm25.values[i] >= 0);
}

static double score(const struct PostingWriter *vector, const struct WeightedTerm *terms, size_t n,
        const struct Bm25 *bm25) {
        double result = -1;

        assert_int_equal(term_vector_score(vector->data, vector->size, terms, n, bm25, &result), 0);
        return result;
}

static void test_the_score_is_the_sum_over_common_terms(void **state) {
        static const struct WeightedTerm terms[] = { { 1, 2.5 }, { 3, 1.5 }, { 9, 4 }, { 700, 3 },
                { 100000, 1 } };
        _cleanup_posting_writer_ struct PostingWriter vector = { 0 };
        struct Bm25 bm25;

        (void) state;
        bm25_set(&bm25, 100, 10000);
        assert_int_equal(posting_append(&vector, 2, posting_weight(9, 120)), 0);
        assert_int_equal(posting_append(&vector, 3, posting_weight(2, 120)), 0);
        assert_int_equal(posting_append(&vector, 8, posting_weight(1, 120)), 0);
        assert_int_equal(posting_append(&vector, 700, posting_weight(5, 120)), 0);

        double length = posting_length(posting_length_class(posting_weight(1, 120)));
        assert_near(score(&vector, terms, 5, &bm25),
                1.5 * plain_bm25(2, length, 100) + 3 * plain_bm25(5, length, 100));
        assert_near(score(&vector, terms, 2, &bm25), 1.5 * plain_bm25(2, length, 100));
        assert_true(score(&vector, terms, 1, &bm25) == 0);
        assert_true(score(&vector, NULL, 0, &bm25) == 0);
        assert_true(score(&(struct PostingWriter){ 0 }, terms, 5, &bm25) == 0);
}

static void test_what_is_no_vector_is_told(void **state) {
        static const struct WeightedTerm terms[] = { { 1, 1 } };
        struct Bm25 bm25;
        double result = 7;

        (void) state;
        bm25_set(&bm25, 100, 10000);
        assert_int_equal(term_vector_score("\x01", 1, terms, 1, &bm25, &result), -EBADMSG);
        assert_int_equal(term_vector_score("\xff\xff", 2, terms, 1, &bm25, &result), -EBADMSG);
        assert_true(result == 7);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values_are_those_of_the_formula),
                cmocka_unit_test(test_rarer_terms_weigh_more_and_none_nothing),
                cmocka_unit_test(test_a_collection_of_nothing_has_numbers),
                cmocka_unit_test(test_the_score_is_the_sum_over_common_terms),
                cmocka_unit_test(test_what_is_no_vector_is_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
