/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/moves.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void add(struct Moves *moves, const char *source, int content) {
        char digest[DIGEST_HEX_SIZE];

        (void) snprintf(digest, sizeof digest, "%064d", content);
        assert_int_equal(moves_add(moves, source, digest), 0);
}

static bool take(struct Moves *moves, const char *source, int content) {
        char digest[DIGEST_HEX_SIZE];

        (void) snprintf(digest, sizeof digest, "%064d", content);
        return moves_take(moves, source, digest);
}

static void test_nothing_is_in_none(void **state) {
        struct Moves moves = { 0 };

        (void) state;
        assert_false(take(&moves, "vault", 1));
        moves_clear(&moves);
}

static void test_each_is_taken_once(void **state) {
        struct Moves moves = { 0 };

        (void) state;
        for (int i = 0; i < 1000; i++)
                add(&moves, "vault", i * 7 % 500);
        for (int i = 0; i < 500; i++) {
                assert_true(take(&moves, "vault", i));
                assert_true(take(&moves, "vault", i));
                assert_false(take(&moves, "vault", i));
        }
        assert_false(take(&moves, "vault", 500));
        moves_clear(&moves);
}

static void test_what_comes_later_is_taken_as_well(void **state) {
        struct Moves moves = { 0 };

        (void) state;
        add(&moves, "vault", 2);
        add(&moves, "vault", 2);
        assert_true(take(&moves, "vault", 2));
        add(&moves, "vault", 2);
        add(&moves, "vault", 1);
        assert_true(take(&moves, "vault", 2));
        assert_true(take(&moves, "vault", 2));
        assert_false(take(&moves, "vault", 2));
        assert_true(take(&moves, "vault", 1));
        moves_clear(&moves);
}

static void test_each_source_has_its_own(void **state) {
        struct Moves moves = { 0 };

        (void) state;
        add(&moves, "vault", 1);
        add(&moves, "drive", 1);
        add(&moves, "vault", 2);
        assert_false(take(&moves, "drive", 2));
        assert_true(take(&moves, "drive", 1));
        assert_false(take(&moves, "drive", 1));
        assert_true(take(&moves, "vault", 1));
        moves_clear(&moves);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_is_in_none),
                cmocka_unit_test(test_each_is_taken_once),
                cmocka_unit_test(test_what_comes_later_is_taken_as_well),
                cmocka_unit_test(test_each_source_has_its_own),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
