/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/told.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void test_the_same_is_said_once(void **state) {
        struct Told told = { 0 };

        (void) state;
        assert_true(told_is_news(&told, "/v/b.md", "is binary"));
        assert_false(told_is_news(&told, "/v/b.md", "is binary"));
        assert_true(told_is_news(&told, "/v/a.md", "is binary"));
        assert_true(told_is_news(&told, "/v/b.md", "is too large"));
        assert_false(told_is_news(&told, "/v/b.md", "is too large"));
        assert_false(told_is_news(&told, "/v/a.md", "is binary"));
        told_clear(&told);
        assert_true(told_is_news(&told, "/v/a.md", "is binary"));
        told_clear(&told);
}

static void test_what_changed_is_said_again(void **state) {
        struct Told told = { 0 };

        (void) state;
        assert_true(told_is_news(&told, "/v/a/x.md", "is binary"));
        assert_true(told_is_news(&told, "/v/a/y.md", "is binary"));
        assert_true(told_is_news(&told, "/v/a.md", "is binary"));
        told_forget(&told, "/v/a/x.md");
        assert_true(told_is_news(&told, "/v/a/x.md", "is binary"));
        assert_false(told_is_news(&told, "/v/a/y.md", "is binary"));
        told_forget(&told, "/v/a");
        assert_true(told_is_news(&told, "/v/a/x.md", "is binary"));
        assert_true(told_is_news(&told, "/v/a/y.md", "is binary"));
        assert_false(told_is_news(&told, "/v/a.md", "is binary"));
        told_clear(&told);
}

static void test_what_a_look_at_everything_does_not_meet_is_forgotten(void **state) {
        struct Told told = { 0 };

        (void) state;
        assert_true(told_is_news(&told, "/v/a.md", "is binary"));
        assert_true(told_is_news(&told, "/v/b.md", "is binary"));
        told_begin(&told);
        assert_false(told_is_news(&told, "/v/a.md", "is binary"));
        told_end(&told);
        assert_int_equal(told.n, 1);
        assert_true(told_is_news(&told, "/v/b.md", "is binary"));
        told_clear(&told);
}

static void test_many_are_kept_in_order(void **state) {
        struct Told told = { 0 };
        char path[32];

        (void) state;
        for (int round = 0; round < 2; round++)
                for (int i = 0; i < 1000; i++) {
                        (void) snprintf(path, sizeof path, "/v/%d.md", i * 7919 % 1000);
                        assert_int_equal(told_is_news(&told, path, "is binary"), round == 0);
                }
        assert_int_equal(told.n, 1000);
        told_clear(&told);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_same_is_said_once),
                cmocka_unit_test(test_what_changed_is_said_again),
                cmocka_unit_test(test_what_a_look_at_everything_does_not_meet_is_forgotten),
                cmocka_unit_test(test_many_are_kept_in_order),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
