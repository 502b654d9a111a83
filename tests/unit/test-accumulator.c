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

static int compare_sums(const void *a, const void *b) {
        const struct Sum *x = a, *y = b;

        if (x->sum != y->sum)
                return x->sum > y->sum ? -1 : 1;
        return x->id < y->id ? -1 : 1;
}

/* As "id=sum ", the largest first. */
static void assert_best(struct Accumulator *accumulator, size_t n, const char *expected) {
        struct Sum sums[128];
        char text[4096] = "", *end = text;
        uint64_t found;
        size_t got = accumulator_best(accumulator, sums, n, &found);

        assert_true(got <= n && got <= found);
        qsort(sums, got, sizeof sums[0], compare_sums);
        assert_int_equal(accumulator_count(accumulator, SIZE_MAX), found);
        assert_int_equal(accumulator_count(accumulator, 2), found < 2 ? found : 2);
        for (size_t i = 0; i < got; i++)
                end += sprintf(end, "%" PRIi64 "=%g ", sums[i].id, (double) sums[i].sum);
        assert_string_equal(text, expected);
}

static void assert_sums(struct Accumulator *accumulator, const char *expected) {
        assert_best(accumulator, 128, expected);
}

static int setup(void **state) {
        return accumulator_new((struct Accumulator **) state);
}

static int teardown(void **state) {
        return accumulator_free(*state) != NULL;
}

#define W ((int64_t) TERM_WINDOW)

static void test_sums_are_whole_whatever_the_order_of_the_windows(void **state) {
        struct Accumulator *accumulator = *state;

        assert_sums(accumulator, "");
        add(accumulator, 5 * W, 1);
        add(accumulator, 7, 2);
        add(accumulator, 9 * W - 1, 3);
        add(accumulator, 5 * W, 0.5);
        add(accumulator, W, 4);
        add(accumulator, W - 1, 5);
        add(accumulator, 6 * W, 0); /* a window with nothing in it */
        assert_sums(accumulator, "8191=5 8192=4 73727=3 7=2 40960=1.5 ");
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

static void test_the_best_are_those_of_a_sort(void **state) {
        struct Accumulator *accumulator = *state;
        struct Sum all[500], best[500];
        uint64_t random = 1, found;

        for (size_t i = 0; i < 500; i++) {
                random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                all[i] = (struct Sum){ (int64_t) i * 61, (float) (1 + random / 3 % 40) };
                add(accumulator, all[i].id, all[i].sum);
        }
        qsort(all, 500, sizeof all[0], compare_sums);
        for (size_t n = 1; n <= 500; n = n * 3 / 2 + 1) {
                assert_int_equal(accumulator_best(accumulator, best, n, &found), n);
                assert_int_equal(found, 500);
                qsort(best, n, sizeof best[0], compare_sums);
                for (size_t i = 0; i < n; i++)
                        assert_true(best[i].id == all[i].id && best[i].sum == all[i].sum);
        }
}

static void test_among_equals_the_lower_id_is_better(void **state) {
        struct Accumulator *accumulator = *state;

        for (int64_t id = 10; id > 0; id--)
                add(accumulator, id * 1000, id % 2 ? 1 : 2);
        assert_best(accumulator, 1, "2000=2 ");
        assert_best(accumulator, 3, "2000=2 4000=2 6000=2 ");
        assert_best(accumulator, 7, "2000=2 4000=2 6000=2 8000=2 10000=2 1000=1 3000=1 ");
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
                TEST(test_sums_are_whole_whatever_the_order_of_the_windows),
                TEST(test_many_windows),
                TEST(test_the_best_are_those_of_a_sort),
                TEST(test_among_equals_the_lower_id_is_better),
                TEST(test_without_a_restriction_every_window_is_there),
                TEST(test_a_restriction_leaves_only_what_is_allowed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
