/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/prompt-words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/cleanup.h"

static struct PromptWords *find(const char *prompt) {
        _cleanup_analyzer_ struct Analyzer *analyzer = NULL;
        struct PromptWords *words = NULL;

        assert_int_equal(analyzer_new(&analyzer), 0);
        assert_int_equal(prompt_words_find(analyzer, prompt, &words, NULL), 0);
        return words;
}

/* `expected`: the words with blanks between them. */
static void assert_words(const char *prompt, const char *expected) {
        _cleanup_prompt_words_ struct PromptWords *words = find(prompt);
        char text[1024] = "", *end = text;

        for (size_t i = 0; i < words->n_words; i++) {
                assert_int_equal(words->words[i].size, strlen(words->words[i].term));
                if (i > 0)
                        *end++ = ' ';
                end = stpcpy(end, words->words[i].term);
        }
        assert_string_equal(text, expected);
}

static void test_words_are_terms_and_nothing_else_is_left(void **state) {
        (void) state;
        assert_words("glass scale", "glass scale");
        assert_words("\"glass\"*", "glass");
        assert_words("b:c NEAR(d, 5) ^e {f} +g", "b c near d 5 e f g");
        assert_words("glass AND NOT scale OR", "glass scale");
        assert_words("N\xc3\xa4he\xe2\x80\x94p05", "nahe p05");
        assert_words("content:needle' --x; DROP", "content needl x drop");
}

static void test_a_name_is_asked_for_whole_and_in_parts(void **state) {
        (void) state;
        assert_words("Where is atocore.db?", "atocore.db atocor db");
        assert_words("p05-interferometer", "p05-interferometer p05 interferomet");
}

static void test_a_prompt_without_words_has_none(void **state) {
        (void) state;
        assert_words("", "");
        assert_words(" \t\n", "");
        assert_words("?! \"*\" -- () :: ''", "");
        assert_words("\xf0\x9f\x98\x80 \xe2\x80\xa6", "");
        assert_words("\xff\xfe\x80", "");
        assert_words("\u200b\u200e\u202e\u2066", "");
}

static void test_words_of_one_stem_are_one_word(void **state) {
        (void) state;
        assert_words("motor motors MOTOR m\xc3\xb3tor", "motor");
}

static void test_common_words_are_left_out_while_others_remain(void **state) {
        (void) state;
        assert_words("What IS the resolution of it?", "resolut");
        assert_words("what is it", "what is it");
        assert_words("islands whatever a yourself", "island whatev yourself");
        assert_words("the \xe5\x85\x89\xe5\xad\xa6 of it", "\xe5\x85\x89\xe5\xad\xa6");
}

static void test_a_long_prompt_is_cut_and_says_so(void **state) {
        char prompt[8 * (PROMPT_WORDS_MAX + 1) + 1];

        (void) state;
        for (int n = PROMPT_WORDS_MAX; n <= PROMPT_WORDS_MAX + 1; n++) {
                for (int i = 0; i < n; i++)
                        (void) snprintf(prompt + 8 * i, 9, "word%03d ", i);
                _cleanup_prompt_words_ struct PromptWords *words = find(prompt);
                assert_int_equal(words->n_words, PROMPT_WORDS_MAX);
                assert_int_equal(words->cut, n > PROMPT_WORDS_MAX);
        }
}

/* What was met before counts once, however often it comes and whatever comes after the last. */
static void test_repetitions_do_not_fill_a_prompt(void **state) {
        _cleanup_free_ char *prompt = malloc(PROMPT_WORDS_MAX * 80 + 1);
        char *end = prompt;

        (void) state;
        for (int i = 0; i < PROMPT_WORDS_MAX * 10; i++)
                end += sprintf(end, "word%03d ", i % PROMPT_WORDS_MAX);
        _cleanup_prompt_words_ struct PromptWords *words = find(prompt);
        assert_int_equal(words->n_words, PROMPT_WORDS_MAX);
        assert_false(words->cut);
}

static void test_a_megabyte_without_a_space_is_one_word(void **state) {
        _cleanup_free_ char *prompt = malloc((1 << 20) + 1);

        (void) state;
        memset(prompt, 'x', 1 << 20);
        prompt[1 << 20] = '\0';
        _cleanup_prompt_words_ struct PromptWords *words = find(prompt);
        assert_int_equal(words->n_words, 1);
        assert_false(words->cut);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words_are_terms_and_nothing_else_is_left),
                cmocka_unit_test(test_a_name_is_asked_for_whole_and_in_parts),
                cmocka_unit_test(test_a_prompt_without_words_has_none),
                cmocka_unit_test(test_words_of_one_stem_are_one_word),
                cmocka_unit_test(test_common_words_are_left_out_while_others_remain),
                cmocka_unit_test(test_a_long_prompt_is_cut_and_says_so),
                cmocka_unit_test(test_repetitions_do_not_fill_a_prompt),
                cmocka_unit_test(test_a_megabyte_without_a_space_is_one_word),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
