/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/changes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char vault[] = "vault", drive[] = "drive";

/* `vault/a drive/` in the order in which they came, or `everything`. */
static void expect(const struct Changes *changes, const char *expected) {
        char text[1024] = "";

        if (changes->everything)
                strcpy(text, "everything ");
        for (size_t i = 0; i < changes->n; i++) {
                strcat(text, changes->parts[i].source);
                strcat(text, "/");
                strcat(text, changes->parts[i].path);
                strcat(text, " ");
        }
        assert_string_equal(text, expected);
}

static void test_a_path_covers_itself_and_what_is_below(void **state) {
        (void) state;
        assert_true(changes_cover("", ""));
        assert_true(changes_cover("", "a"));
        assert_true(changes_cover("a", "a"));
        assert_true(changes_cover("a", "a/b"));
        assert_false(changes_cover("a", "ab"));
        assert_false(changes_cover("a", "a.md"));
        assert_false(changes_cover("a/b", "a"));
        assert_false(changes_cover("a", ""));
}

static void test_no_part_lies_within_another(void **state) {
        struct Changes changes = { 0 };

        (void) state;
        changes_add(&changes, vault, "a/b.md", 1);
        changes_add(&changes, vault, "a/b.md", 2);
        changes_add(&changes, drive, "a/b.md", 3);
        changes_add(&changes, vault, "a/c/d.md", 4);
        expect(&changes, "vault/a/b.md drive/a/b.md vault/a/c/d.md ");
        changes_add(&changes, vault, "a", 5);
        changes_add(&changes, vault, "a/e.md", 6);
        changes_add(&changes, vault, "a.md", 7);
        expect(&changes, "drive/a/b.md vault/a vault/a.md ");
        changes_add_everything(&changes, 8);
        changes_add(&changes, vault, "b.md", 9);
        expect(&changes, "everything ");
        changes_clear(&changes);
        assert_true(changes_are_none(&changes));
}

static void test_too_many_parts_are_the_whole_source(void **state) {
        struct Changes changes = { 0 };

        (void) state;
        changes_add(&changes, drive, "x.md", 1);
        for (int i = 0; i < CHANGES_PARTS_MAX; i++) {
                char path[16];

                (void) snprintf(path, sizeof path, "%d.md", i);
                changes_add(&changes, vault, path, 1);
        }
        assert_int_equal(changes.n, CHANGES_PARTS_MAX + 1);
        changes_add(&changes, vault, "one-more.md", 2);
        expect(&changes, "drive/x.md vault/ ");
        changes_clear(&changes);
}

static void test_they_are_due_when_it_is_quiet(void **state) {
        struct Changes changes = { 0 };

        (void) state;
        assert_int_equal(changes_due(&changes), UINT64_MAX);
        changes_add(&changes, vault, "a.md", 10000);
        assert_int_equal(changes_due(&changes), 10000 + CHANGES_QUIET_MS);
        /* Also what adds nothing is a change. */
        changes_add(&changes, vault, "a.md", 10200);
        assert_int_equal(changes_due(&changes), 10200 + CHANGES_QUIET_MS);
        changes_add_everything(&changes, 10300);
        assert_int_equal(changes_due(&changes), 10300 + CHANGES_QUIET_MS);
        changes_clear(&changes);
        assert_int_equal(changes_due(&changes), UINT64_MAX);
}

static void test_what_never_is_quiet_is_not_waited_for(void **state) {
        struct Changes changes = { 0 };

        (void) state;
        for (uint64_t now = 10000; now < 20000; now += 100)
                changes_add(&changes, vault, "a.md", now);
        assert_int_equal(changes_due(&changes), 10000 + CHANGES_WAIT_MS);
        changes_clear(&changes);
        assert_true(CHANGES_WAIT_MS + CHANGES_QUIET_MS < 2000);
}

static void test_what_was_put_back_keeps_its_time(void **state) {
        struct Changes changes = { 0 }, taken = { 0 };

        (void) state;
        changes_add(&changes, vault, "a.md", 10000);
        changes_add(&changes, vault, "b/c.md", 10100);
        changes_move(&taken, &changes);
        assert_true(changes_are_none(&changes));
        assert_int_equal(changes_due(&taken), 10100 + CHANGES_QUIET_MS);

        changes_add(&changes, vault, "b", 13000);
        changes_move(&changes, &taken);
        assert_true(changes_are_none(&taken));
        expect(&changes, "vault/b vault/a.md ");
        assert_int_equal(changes.first_ms, 10000);
        assert_int_equal(changes.last_ms, 13000);

        changes_add_everything(&taken, 14000);
        changes_move(&changes, &taken);
        expect(&changes, "everything ");
        assert_int_equal(changes.first_ms, 10000);
        changes_clear(&changes);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_path_covers_itself_and_what_is_below),
                cmocka_unit_test(test_no_part_lies_within_another),
                cmocka_unit_test(test_too_many_parts_are_the_whole_source),
                cmocka_unit_test(test_they_are_due_when_it_is_quiet),
                cmocka_unit_test(test_what_never_is_quiet_is_not_waited_for),
                cmocka_unit_test(test_what_was_put_back_keeps_its_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
