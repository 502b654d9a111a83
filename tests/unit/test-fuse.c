/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/fuse.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/cleanup.h"

#define LIST(...)                                                                                  \
        (struct FuseList) {                                                                        \
                .ids = (const int64_t[]){ __VA_ARGS__ },                                           \
                .n = sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)                    \
        }

static struct Rank *fuse(const struct FuseList *lists, size_t n, size_t top_k, size_t *ret_n) {
        struct Rank *best = NULL;

        assert_int_equal(fuse_lists(lists, n, top_k, &best, ret_n), 0);
        return best;
}

static void test_what_both_know_comes_before_what_one_ranks_first(void **state) {
        const struct FuseList lists[] = { LIST(1, 2), LIST(3, 2) };
        _cleanup_free_ struct Rank *best = NULL;
        size_t n;

        (void) state;
        best = fuse(lists, 2, 10, &n);
        assert_int_equal(n, 3);
        assert_int_equal(best[0].id, 2);
        assert_true(fabs(best[0].score - (1.0 / 62 + 1.0 / 62)) < 1e-12);
        assert_true(fabs(best[1].score - 1.0 / 61) < 1e-12);
}

static void test_equals_are_by_id_whichever_list_they_are_in(void **state) {
        const struct FuseList lists[] = { LIST(9, 5), LIST(3, 7) };
        const struct FuseList swapped[] = { LIST(3, 7), LIST(9, 5) };
        static const int64_t expected[] = { 3, 9, 5, 7 };
        _cleanup_free_ struct Rank *best = NULL, *other = NULL;
        size_t n, m;

        (void) state;
        best = fuse(lists, 2, 10, &n);
        other = fuse(swapped, 2, 10, &m);
        assert_int_equal(n, 4);
        assert_int_equal(m, 4);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(best[i].id, expected[i]);
                assert_int_equal(other[i].id, expected[i]);
        }
}

static void test_only_the_best_are_given(void **state) {
        const struct FuseList lists[] = { LIST(1, 2, 3), LIST(3) };
        _cleanup_free_ struct Rank *best = NULL;
        size_t n;

        (void) state;
        best = fuse(lists, 2, 2, &n);
        assert_int_equal(n, 2);
        assert_int_equal(best[0].id, 3);
        assert_int_equal(best[1].id, 1);
}

static void test_one_list_stays_in_its_order_and_none_is_none(void **state) {
        const struct FuseList lists[] = { LIST(4, 2, 8), { 0 } };
        _cleanup_free_ struct Rank *best = NULL, *nothing = NULL;
        size_t n;

        (void) state;
        nothing = fuse(lists, 0, 10, &n);
        assert_int_equal(n, 0);
        best = fuse(lists, 2, 10, &n);
        assert_int_equal(n, 3);
        assert_int_equal(best[0].id, 4);
        assert_int_equal(best[1].id, 2);
        assert_int_equal(best[2].id, 8);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_both_know_comes_before_what_one_ranks_first),
                cmocka_unit_test(test_equals_are_by_id_whichever_list_they_are_in),
                cmocka_unit_test(test_only_the_best_are_given),
                cmocka_unit_test(test_one_list_stays_in_its_order_and_none_is_none),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
