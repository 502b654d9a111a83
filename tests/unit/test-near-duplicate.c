/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/near-duplicate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool repeats_of(const char *text, const char *other, uint64_t all_bytes) {
        _cleanup_fingerprint_ struct Fingerprint a = { 0 }, b = { 0 };

        assert_int_equal(fingerprint_make(text, strlen(text), all_bytes, &a), 0);
        assert_int_equal(fingerprint_make(other, strlen(other), all_bytes, &b), 0);
        return fingerprint_repeats(&a, &b);
}

static bool repeats(const char *text, const char *other) {
        return repeats_of(text, other, 0);
}

#define TEXT                                                                                       \
        "The reference flat is cleaned with isopropanol before each run and put back into its "    \
        "drawer; whoever takes it out signs the list, so that nobody has to look for it in the "   \
        "evening when the next run is about to start and all others have left the laboratory"

static void test_white_space_does_not_count(void **state) {
        (void) state;
        assert_true(repeats("one two", " one\r\n\ttwo\n"));
        assert_true(repeats("", " \n"));
        assert_true(repeats("\xe6\x97\xa5\xe6\x9c\xac", "\xe6\x97\xa5 \xe6\x9c\xac"));
        assert_false(repeats("one two", "onetwo"));
}

static void test_short_texts_repeat_only_the_same_words(void **state) {
        (void) state;
        assert_false(repeats("one two three", "one two four"));
        assert_false(repeats("one two three", "One two three"));
        assert_false(repeats("one two three", "one two three four"));
        assert_false(repeats("one", ""));
        assert_false(repeats("", "one"));
}

static void test_a_word_changed_in_many_makes_no_other_text(void **state) {
        (void) state;
        assert_true(repeats(TEXT, TEXT));
        assert_true(repeats("A reference flat is cleaned" TEXT, TEXT));
        assert_true(repeats(TEXT " today", TEXT));
        assert_false(repeats("the flat is cleaned with isopropanol before each run",
                "the flat is cleaned with acetone before each run"));
}

static void test_a_part_repeats_the_whole_and_not_the_other_way_round(void **state) {
        (void) state;
        static const char whole[] = TEXT
                " and here is what is said in the whole alone, about the felt pads of the polisher "
                "and the order in which they are to be changed by those who polish";

        assert_true(repeats(TEXT, whole));
        assert_false(repeats(whole, TEXT));
}

static void test_another_number_is_another_text(void **state) {
        (void) state;
        assert_true(repeats(TEXT " at 12 Nm", TEXT " at 12 Nm"));
        assert_false(repeats(TEXT " at 12 Nm", TEXT " at 14 Nm"));
        assert_false(repeats(TEXT " A 12 B 14", TEXT " A 14 B 12"));
        assert_false(repeats(TEXT " at 12 Nm", TEXT " at 12 mNm"));
        assert_false(repeats("12 Nm " TEXT, "14 Nm " TEXT));
        assert_false(repeats(TEXT " at \xd9\xa4\xd9\xa2", TEXT " at \xd9\xa4\xd9\xa3")); /* ٤٢ */
        assert_false(repeats(TEXT " at \xc2\xbd", TEXT " at \xc2\xbc"));                 /* ½ */
        assert_true(repeats(TEXT, TEXT " at 14 Nm"));
}

/* Lines of the lower and the upper limit of a part, the upper one of line `changed` another one. */
static char *limits(size_t n, size_t changed, unsigned by) {
        char *text = malloc(n * 32 + 1), *at = text;

        assert_non_null(text);
        for (size_t i = 0; i < n; i++)
                at += snprintf(at, 32, "%zu.%02zu %zu.%02zu mm\n", 19 + i / 100, i % 100,
                        19 + (i + 1 + (i == changed ? by : 0)) / 100,
                        (i + 1 + (i == changed ? by : 0)) % 100);
        return text;
}

static void test_one_number_of_a_long_table_makes_another_table(void **state) {
        static const size_t n = 500;
        _cleanup_free_ char *table = limits(n, n, 0);

        (void) state;
        for (size_t i = 0; i < n; i += 7)
                for (unsigned by = 1; by < 9; by++) {
                        _cleanup_free_ char *other = limits(n, i, by);

                        if (repeats(other, table))
                                fail_msg("line %zu, %u more, is taken for the same", i, by);
                }
}

/* Han, each character another one, so many from `first` on. */
static char *han(uint32_t first, size_t n) {
        char *text = malloc(3 * n + 1);

        assert_non_null(text);
        for (size_t i = 0; i < n; i++)
                (void) snprintf(text + 3 * i, 4, "%c%c%c",
                        (char) (0xe0 | ((first + i) >> 12 & 0xf)),
                        (char) (0x80 | ((first + i) >> 6 & 0x3f)),
                        (char) (0x80 | ((first + i) & 0x3f)));
        return text;
}

static void test_scripts_without_blanks_go_by_characters(void **state) {
        (void) state;
        _cleanup_free_ char *text = han(0x5000, 100), *changed = han(0x5000, 100);
        _cleanup_free_ char *other = han(0x6000, 100), *part = han(0x5010, 60);

        memcpy(changed + 150, other, 3);
        assert_true(repeats(changed, text));
        assert_true(repeats(part, text));
        assert_false(repeats(text, part));
        assert_false(repeats(text, other));
}

/* Words that are all different. */
static char *many_words(size_t n, const char *end) {
        char *text = malloc(n * 8 + strlen(end) + 1), *at = text;

        assert_non_null(text);
        for (size_t i = 0; i < n; i++) {
                for (size_t k = 0; k < 6; k++)
                        *at++ = (char) ('a' + (i >> (4 * k) & 0xf));
                *at++ = ' ';
        }
        strcpy(at, end);
        return text;
}

static void test_with_few_shingles_kept_much_is_told_as_with_all(void **state) {
        (void) state;
        _cleanup_free_ char *text = many_words(20000, ""), *same = many_words(20000, "x y z");
        _cleanup_free_ char *half = many_words(10000, ""), *most = many_words(19000, "");
        static const uint64_t sizes[] = { 0, SHINGLES_ALL_BYTES, 20 * SHINGLES_ALL_BYTES };

        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                assert_true(repeats_of(same, text, sizes[i]));
                assert_true(repeats_of(half, text, sizes[i]));
                assert_true(repeats_of(text, most, sizes[i]));
                assert_false(repeats_of(text, half, sizes[i]));
                assert_true(repeats_of("a b", " a b ", sizes[i]));
                assert_false(repeats_of("a b", "a c", sizes[i]));
        }
}

static void test_known_texts_hold_what_any_of_them_does(void **state) {
        (void) state;
        static const char *const texts[] = { TEXT, "one two three", "", TEXT " at 12 Nm",
                "the polisher needs felt pads and isopropanol each week of the year" };
        static const size_t n = sizeof texts / sizeof texts[0];
        struct Fingerprint made[5] = { 0 };
        _cleanup_(known_texts_done) struct KnownTexts known = { 0 };
        size_t shingles = 0;

        for (size_t i = 0; i < n; i++) {
                assert_int_equal(fingerprint_make(texts[i], strlen(texts[i]), 0, &made[i]), 0);
                shingles += made[i].shingles.n;
        }
        assert_int_equal(known_texts_make(n, shingles, &known), 0);
        for (size_t i = 0; i < n; i++) {
                for (size_t k = 0; k < n; k++) {
                        bool held = false;

                        for (size_t j = 0; j < i; j++)
                                held = held || fingerprint_repeats(&made[k], &made[j]);
                        assert_int_equal(known_texts_hold(&known, &made[k]), held);
                }
                known_texts_add(&known, &made[i]);
        }
        for (size_t i = 0; i < n; i++)
                fingerprint_done(&made[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_white_space_does_not_count),
                cmocka_unit_test(test_short_texts_repeat_only_the_same_words),
                cmocka_unit_test(test_a_word_changed_in_many_makes_no_other_text),
                cmocka_unit_test(test_a_part_repeats_the_whole_and_not_the_other_way_round),
                cmocka_unit_test(test_another_number_is_another_text),
                cmocka_unit_test(test_one_number_of_a_long_table_makes_another_table),
                cmocka_unit_test(test_scripts_without_blanks_go_by_characters),
                cmocka_unit_test(test_known_texts_hold_what_any_of_them_does),
                cmocka_unit_test(test_with_few_shingles_kept_much_is_told_as_with_all),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
