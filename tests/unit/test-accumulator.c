/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/accumulator.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/knowledge/term-index.h"

static void add(struct Accumulator *accumulator, int64_t id, float value) {
        float *sums;

        assert_int_equal(accumulator_window(accumulator, id / TERM_WINDOW, &sums), 0);
        sums[id % TERM_WINDOW] += value;
}

static void write_sum(void *userdata, int64_t id, float sum) {
        (void) fprintf(userdata, "%" PRIi64 "=%g ", id, (double) sum);
}

static void assert_sums(const struct Accumulator *accumulator, const char *expected) {
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);

        accumulator_each(accumulator, write_sum, stream);
        assert_int_equal(fclose(stream), 0);
        assert_string_equal(text, expected);
        free(text);
}

static int setup(void **state) {
        return accumulator_new((struct Accumulator **) state);
}

static int teardown(void **state) {
        return accumulator_free(*state) != NULL;
}

#define W ((int64_t) TERM_WINDOW)

static void test_sums_come_by_id_whatever_the_order_of_the_windows(void **state) {
        struct Accumulator *accumulator = *state;

        assert_sums(accumulator, "");
        add(accumulator, 5 * W, 1);
        add(accumulator, 7, 2);
        add(accumulator, 9 * W - 1, 3);
        add(accumulator, 5 * W, 0.5);
        add(accumulator, W, 4);
        add(accumulator, W - 1, 5);
        add(accumulator, 6 * W, 0); /* a window with nothing in it */
        assert_sums(accumulator, "7=2 8191=5 8192=4 40960=1.5 73727=3 ");
}

static void test_many_windows(void **state) {
        struct Accumulator *accumulator = *state;
        char expected[4096], *end = expected;

        for (int64_t i = 0; i < 101; i++)
                add(accumulator, (i * 37 % 101) * W + 1, 1);
        for (int64_t i = 0; i < 101; i++)
                end += sprintf(end, "%" PRIi64 "=1 ", i * W + 1);
        assert_sums(accumulator, expected);
}

static void test_without_a_restriction_every_window_is_there(void **state) {
        const struct Accumulator *accumulator = *state;

        assert_true(accumulator_window_from(accumulator, 0) == 0);
        assert_true(accumulator_window_from(accumulator, 77) == 77);
}

static void test_a_restriction_leaves_only_what_is_allowed(void **state) {
        struct Accumulator *accumulator = *state;

        accumulator_restrict(accumulator);
        assert_true(accumulator_window_from(accumulator, 0) == INT64_MAX);
        assert_int_equal(accumulator_allow(accumulator, 4 * W), 0);
        assert_int_equal(accumulator_allow(accumulator, 2 * W + 63), 0);
        assert_int_equal(accumulator_allow(accumulator, 2 * W + 64), 0);
        assert_int_equal(accumulator_allow(accumulator, 3 * W - 1), 0);

        assert_true(accumulator_window_from(accumulator, 0) == 2);
        assert_true(accumulator_window_from(accumulator, 2) == 2);
        assert_true(accumulator_window_from(accumulator, 3) == 4);
        assert_true(accumulator_window_from(accumulator, 5) == INT64_MAX);

        for (int64_t id = 2 * W; id < 3 * W; id++)
                add(accumulator, id, 1);
        add(accumulator, 4 * W + 1, 1);
        add(accumulator, 3 * W, 1); /* a window in which nothing is allowed */
        assert_sums(accumulator, "16447=1 16448=1 24575=1 ");
}

int main(void) {
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_sums_come_by_id_whatever_the_order_of_the_windows),
                TEST(test_many_windows),
                TEST(test_without_a_restriction_every_window_is_there),
                TEST(test_a_restriction_leaves_only_what_is_allowed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
