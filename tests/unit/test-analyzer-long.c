/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/analyzer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyzer-fixture.h"

/* Runs of characters without a space are folded by pieces: nothing tells where they were cut. */

/* The number of `unit`s before what is looked at: the first two cuts, and the one that is made
 * where there is no place for it, are met wherever they are. */
static size_t next_length(size_t n) {
        return n == 270 ? 500 : n == 530 ? 1010 : n + 1;
}

static char *repeat(const char *before, const char *unit, size_t n, const char *after) {
        size_t unit_size = strlen(unit), size = strlen(before);
        char *text = malloc(size + n * unit_size + strlen(after) + 1);

        memcpy(text, before, size);
        for (size_t i = 0; i < n; i++, size += unit_size)
                memcpy(text + size, unit, unit_size);
        memcpy(text + size, after, strlen(after) + 1);
        return text;
}

static char *terms_of_long(
        const char *before, const char *unit, size_t n, const char *after, size_t *ret_n) {
        char *text = repeat(before, unit, n, after);
        char *terms = terms_of(ANALYZE_INDEX, text, strlen(text), ret_n);

        free(text);
        return terms;
}

/* One `unit` more is `more` terms more, and the end is always the same. */
static void assert_ends_alike(const char *unit, size_t more, const char *after, const char *end) {
        for (size_t n = 240; n < 1040; n = next_length(n)) {
                size_t n_terms, n_short;
                char *terms = terms_of_long("", unit, n, after, &n_terms);
                char *few = terms_of_long("", unit, 4, after, &n_short);
                size_t size = strlen(terms);

                assert_string_equal(few + strlen(few) - strlen(end), end);
                assert_true(size > strlen(few));
                assert_string_equal(terms + size - strlen(few), few);
                assert_int_equal(n_terms, n_short + (n - 4) * more);
                free(terms);
                free(few);
        }
}

static void test_pairs_are_the_same_across_a_cut(void **state) {
        (void) state;
        assert_ends_alike("光", 2, "学仪。", "光|光学|学|学仪|仪");
        assert_ends_alike("か", 1, "きく", "かか|かき|きく");
        assert_ends_alike("カ", 1, "メラ", "カカ|カメ|メラ");
        assert_ends_alike("ก", 1, "ขค", "กก|กข|ขค");
        assert_ends_alike("국", 1, "어한", "국국|국어|어한");
        assert_ends_alike("か", 1, "abc光", "かか|abc|光");
}

static void test_a_character_is_never_cut(void **state) {
        (void) state;
        /* Composed of two, of three, of what is no mark itself, and after what nobody sees. */
        assert_ends_alike("か", 1, "か\u3099き", "かが|がき");
        assert_ends_alike("ｶ", 1, "ﾊﾟﾝ", "カパ|パン");
        assert_ends_alike("국", 1, "\u1112\u1161\u11ab\u1100\u116e\u11a8", "국한|한국");
        assert_ends_alike("국", 1, "\u3131\u314f\uffa1\uffc2", "국가|가가");
        assert_ends_alike("か", 1, "か\u00ad\u3099き", "かが|がき");
        assert_ends_alike("か", 1, "か\u0640\u0301\u3099き", "かが|がき");
        /* With its signs, in their order. */
        assert_ends_alike("ก", 1, "ก\u0e49\u0e38ข", "กก\u0e38\u0e49|ก\u0e38\u0e49ข");
        assert_ends_alike("ก", 1, "น้ำข", "กน\u0e49\u0e4d|น\u0e49\u0e4d\u0e32|\u0e32ข");
        assert_ends_alike("ที่", 1, "นี่", "ที่ที่|ที่นี่");
        /* Words with spaces within, as which one character is written out. */
        assert_ends_alike("\ufdfa", 3, "\u0995\u09c7\u09be", "|وسلم\u0995\u09cb");
        assert_ends_alike("\ufdfa", 3, "", "|وسلمصلي|الله|عليه|وسلم");
}

static void test_a_long_word_is_one(void **state) {
        static const struct {
                const char *unit, *folded;
        } words[] = {
                { "ж", "ж" },
                { "Ж", "ж" },
                { "و\u064e", "و" },
                { "ﻭ", "و" }, /* presentation forms */
                { "\u1f80", "αι" },
                { "ö", "o" },
                { "ｘ", "x" },
                { "क", "क" },
        };

        (void) state;
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
                char *folded = repeat("", words[i].folded, TERM_SIZE_MAX, "");

                folded[TERM_SIZE_MAX - TERM_SIZE_MAX % strlen(words[i].folded)] = '\0';
                for (size_t n = 240; n < 1040; n = next_length(n)) {
                        size_t n_terms;
                        char *terms =
                                terms_of_long("", words[i].unit, n, "x\u0301y光 end", &n_terms);

                        assert_int_equal(n_terms, 3);
                        assert_string_equal(strchr(terms, '|'), "|光|end");
                        *strchr(terms, '|') = '\0';
                        assert_string_equal(terms, folded);
                        free(terms);
                }
                free(folded);
        }
}

/* There is no place for a cut then, and yet one is made. */
static void test_thousands_of_marks_are_of_one_character(void **state) {
        static const struct {
                const char *before, *mark, *after, *term;
                size_t n_mark; /* of them in the term */
                const char *end;
        } marks[] = {
                { "e", "\u0301", "a", "ea", 0, "" },
                { "e", "\u200d", "a", "ea", 0, "" },
                { "و", "\u064e\u0651", "ا", "وا", 0, "" },
                { "か", "\u0301", "き", "かき", 0, "" },
                { "光", "\u3099", "学", "光", 20, "|学" },
                { "か", "\u3099", "", "が", 20, "" },
                { "ก", "\u0e49", "ข", "ก", 20, "" },
                { "", "\u0e49", "", "", 21, "" },
                { "", "\u0301", "", "", 0, "" },
        };

        (void) state;
        for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
                for (size_t n = 5000; n < 5003; n++) {
                        char *terms = terms_of_long(
                                marks[i].before, marks[i].mark, n, marks[i].after, NULL);
                        char *term =
                                repeat(marks[i].term, marks[i].mark, marks[i].n_mark, marks[i].end);
                        char *last = strrchr(terms, '|');

                        /* Of Han, the character alone and the pair begin alike. */
                        if (last && marks[i].end[0]) {
                                size_t size = (size_t) (last - terms) / 2;

                                assert_int_equal(terms[size], '|');
                                assert_memory_equal(terms, terms + size + 1, size);
                                memmove(terms, terms + size + 1, strlen(terms + size));
                        }
                        assert_string_equal(terms, term);
                        free(terms);
                        free(term);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pairs_are_the_same_across_a_cut),
                cmocka_unit_test(test_a_character_is_never_cut),
                cmocka_unit_test(test_a_long_word_is_one),
                cmocka_unit_test(test_thousands_of_marks_are_of_one_character),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
