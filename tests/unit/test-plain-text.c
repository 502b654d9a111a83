/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/plain-text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* `p 0-5` for a paragraph, `c 5-20` for code, one line each; then how much was used. */
static void expect(const char *text, size_t window, bool fences, const char *expected) {
        _cleanup_block_list_ struct BlockList list = { 0 };
        char found[512] = "";
        size_t used = 0, n = 0;

        assert_int_equal(plain_text_blocks(text, strlen(text), window, fences, &list, &used), 0);
        for (size_t i = 0; i < list.n; i++) {
                const struct Block *block = &list.blocks[i];
                n += (size_t) snprintf(found + n, sizeof found - n, "%c %zu-%zu\n",
                        block->kind == BLOCK_CODE ? 'c' : 'p', block->start, block->end);
        }
        (void) snprintf(found + n, sizeof found - n, "%zu", used);
        assert_string_equal(found, expected);
}

static void test_paragraphs_are_what_blank_lines_separate(void **state) {
        (void) state;
        expect("a\nb\n\n \t\nc\r\n\r\nd", 100, false, "p 0-8\np 8-13\np 13-14\n14");
        expect("\n\na", 100, false, "p 2-3\n3");
        expect("\n\n", 100, false, "2");
        expect("", 100, false, "0");
}

static void test_a_window_ends_with_a_line(void **state) {
        (void) state;
        expect("a\n\nb\n\nc\n", 5, false, "p 0-3\np 3-5\n5");
        expect("a\r\nb\n", 2, false, "p 0-3\n3");
        expect("long line\nb\n", 3, false, "p 0-10\n10");
}

static void test_fences_are_seen_where_they_are_asked_for_only(void **state) {
        (void) state;
        expect("a\n```\n\nb\n```\nc\n", 100, true, "p 0-2\nc 2-13\np 13-15\n15");
        expect("a\n```\n\nb\n```\nc\n", 100, false, "p 0-7\np 7-15\n15");
}

static void test_code_ends_with_its_own_fence_only(void **state) {
        (void) state;
        /* Another character, a shorter one, one with an info string. */
        expect("````\n~~~~\n```\n````c\n`````\nx\n", 100, true, "c 0-26\np 26-28\n28");
        expect("~~~ a`b\n```\n~~~\n", 100, true, "c 0-16\n16");
        expect("``` a`b\nx\n", 100, true, "p 0-10\n10");
        expect("``\nx\n", 100, true, "p 0-5\n5");
        expect("> - 1. ```\n> - 1. x\n> ```\nx\n", 100, true, "c 0-26\np 26-28\n28");
}

static void test_code_is_whole_wherever_the_window_ends(void **state) {
        (void) state;
        expect("```\n\nb\n```\nc\n", 5, true, "c 0-11\n11");
        expect("```\n\nb\n", 5, true, "c 0-7\n7");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_paragraphs_are_what_blank_lines_separate),
                cmocka_unit_test(test_a_window_ends_with_a_line),
                cmocka_unit_test(test_fences_are_seen_where_they_are_asked_for_only),
                cmocka_unit_test(test_code_ends_with_its_own_fence_only),
                cmocka_unit_test(test_code_is_whole_wherever_the_window_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
