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

static struct Bm25 bm25_of(uint64_t chunks, uint64_t spans, uint64_t length) {
        const struct IndexTotals totals = { .chunks = chunks, .spans = spans, .length = length };
        struct Bm25 bm25;

        bm25_set(&bm25, &totals);
        return bm25;
}

static void test_values_are_those_of_the_formula(void **state) {
        struct Bm25 bm25 = bm25_of(1000, 400, 150000);

        (void) state;
        for (uint32_t frequency = 1; frequency <= 15; frequency++)
                for (uint32_t length = 1; length < 1000; length += 7) {
                        uint8_t weight = posting_weight(frequency, length);

                        assert_near((double) bm25.values[weight],
                                plain_bm25(frequency, posting_length(posting_length_class(weight)),
                                        150));
                }
        assert_near(bm25_value(7, 90, 150), plain_bm25(7, 90, 150));
        assert_near(bm25_value(255, UINT64_C(1) << 40, 150), plain_bm25(255, 0x1p40, 150));
        assert_true(bm25_value(0, 90, 150) == 0);
}

static void test_averages_are_of_chunks_and_of_spans(void **state) {
        struct Bm25 bm25 = bm25_of(1000, 400, 150000);

        (void) state;
        assert_near(bm25.chunks, 1000);
        assert_near(bm25.chunk_length, 150);
        assert_near(bm25.span_length, 375);
}

static void test_rarer_terms_weigh_more_and_none_nothing(void **state) {
        struct Bm25 bm25 = bm25_of(1000, 400, 150000);

        (void) state;
        assert_near(bm25_idf(&bm25, 10), pow(log(1 + 990.5 / 10.5), 1.1));
        assert_near(bm25_idf(&bm25, 900), pow(log(1 + 100.5 / 900.5), 1.1));
        for (uint64_t chunks = 1; chunks < 1000; chunks++)
                assert_true(bm25_idf(&bm25, chunks) > bm25_idf(&bm25, chunks + 1));
        assert_true(bm25_idf(&bm25, 1000) > 0);
        assert_true(bm25_idf(&bm25, 5000) > 0); /* more than there are: damaged totals */
}

static void test_a_collection_of_nothing_has_numbers(void **state) {
        static const struct IndexTotals totals[] = { { 0, 0, 0 }, { 3, 3, 0 }, { 3, 0, 9 },
                { 0, 3, 9 }, { UINT64_MAX, UINT64_MAX, UINT64_MAX }, { 1, 1, UINT64_MAX } };

        (void) state;
        for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
                struct Bm25 bm25;

                bm25_set(&bm25, &totals[i]);
                assert_true(isfinite(bm25_idf(&bm25, 0)) && isfinite(bm25_idf(&bm25, 1)));
                assert_true(isfinite(bm25.chunk_length) && bm25.chunk_length > 0);
                assert_true(isfinite(bm25.span_length) && bm25.span_length > 0);
                for (size_t k = 0; k < 256; k++)
                        assert_true(isfinite(bm25.values[k]) && bm25.values[k] >= 0);
        }
}

/* Of 120 words. */
static void write_vector(struct PostingWriter *writer) {
        assert_int_equal(vector_begin(writer, 120), 0);
        assert_int_equal(vector_append(writer, 2, 9), 0);
        assert_int_equal(vector_append(writer, 3, 2), 0);
        assert_int_equal(vector_append(writer, 8, 1), 0);
        assert_int_equal(vector_append(writer, 700, 255), 0);
}

static struct TermVector open_vector(const void *data, size_t size) {
        struct TermVector vector;

        assert_int_equal(term_vector_open(data, size, &vector), 0);
        return vector;
}

static const struct WeightedTerm terms[] = { { 1, 2.5 }, { 3, 1.5 }, { 9, 4 }, { 700, 3 },
        { 100000, 1 } };

static double score(const struct TermVector *vector, double average, size_t n) {
        double result = -1;

        assert_int_equal(term_vector_score(vector, average, n > 0 ? terms : NULL, n, &result), 0);
        return result;
}

static void test_the_score_is_the_sum_over_common_terms(void **state) {
        static const double averages[] = { 100, 320.5 }; /* as of chunks, and of spans */
        _cleanup_posting_writer_ struct PostingWriter writer = { 0 };

        (void) state;
        write_vector(&writer);
        struct TermVector vector = open_vector(writer.data, writer.size),
                          empty = open_vector("\x78", 1);
        assert_int_equal(vector.length, 120);
        for (size_t i = 0; i < 2; i++) {
                double average = averages[i], three = 1.5 * plain_bm25(2, 120, average),
                       last = 3 * plain_bm25(255, 120, average);

                assert_near(score(&vector, average, 5), three + last);
                assert_near(score(&vector, average, 2), three);
                assert_true(score(&vector, average, 1) == 0);
                assert_true(score(&vector, average, 0) == 0);
                assert_true(score(&empty, average, 5) == 0);
        }
}

static void test_frequencies_are_those_of_the_terms(void **state) {
        _cleanup_posting_writer_ struct PostingWriter writer = { 0 };
        uint8_t frequencies[6] = { 9, 9, 9, 9, 9, 9 };

        (void) state;
        write_vector(&writer);
        struct TermVector vector = open_vector(writer.data, writer.size);
        for (int again = 0; again < 2; again++) { /* it stays where it is */
                assert_int_equal(term_vector_frequencies(&vector, terms, 5, frequencies), 0);
                assert_memory_equal(frequencies, ((uint8_t[]){ 0, 2, 0, 255, 0, 9 }), 6);
        }
        assert_int_equal(term_vector_frequencies(&vector, terms, 0, frequencies), 0);
        assert_int_equal(frequencies[1], 2);
}

static void test_what_is_no_vector_is_told(void **state) {
        static const struct {
                const char *data;
                size_t size;
        } damaged[] = { { "\x05\x01", 2 }, { "\x05\xff\xff", 3 }, { "\x05\x00\x01\x80", 4 } };
        struct TermVector vector;
        uint8_t frequencies[5];
        double result;

        (void) state;
        assert_int_equal(term_vector_open(NULL, 0, &vector), -EBADMSG);
        assert_int_equal(term_vector_open("\x80", 1, &vector), -EBADMSG);
        assert_int_equal(term_vector_open("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, &vector),
                -EBADMSG);
        for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
                vector = open_vector(damaged[i].data, damaged[i].size);
                assert_int_equal(term_vector_score(&vector, 100, terms, 5, &result), -EBADMSG);
                assert_int_equal(term_vector_frequencies(&vector, terms, 5, frequencies), -EBADMSG);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values_are_those_of_the_formula),
                cmocka_unit_test(test_averages_are_of_chunks_and_of_spans),
                cmocka_unit_test(test_rarer_terms_weigh_more_and_none_nothing),
                cmocka_unit_test(test_a_collection_of_nothing_has_numbers),
                cmocka_unit_test(test_the_score_is_the_sum_over_common_terms),
                cmocka_unit_test(test_frequencies_are_those_of_the_terms),
                cmocka_unit_test(test_what_is_no_vector_is_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
