/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/proximity.h"

#include <math.h>
#include <string.h>

#include "lib/knowledge/posting.h"
#include "tests/unit/store-fixture.h"

/* Of which each word is worth 2, 4, 6 … */
static double bonus(const char *prompt, const char *text) {
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words(prompt);
        _cleanup_analyzer_ struct Analyzer *analyzer = NULL;
        double idfs[PROMPT_WORDS_MAX], result = -1;

        assert_int_equal(analyzer_new(&analyzer), 0);
        for (size_t i = 0; i < PROMPT_WORDS_MAX; i++)
                idfs[i] = 2.0 * (double) (i + 1);
        assert_int_equal(proximity_bonus(analyzer, words, idfs, text, strlen(text), &result), 0);
        return result;
}

static void assert_bonus(const char *prompt, const char *text, double expected) {
        assert_true(fabs(bonus(prompt, text) - PROXIMITY_SHARE * expected) < 1e-9);
}

static void test_neighbours_in_the_order_of_the_prompt_count(void **state) {
        (void) state;
        assert_bonus("boundary layer", "The boundary layer is thin.", 2 * 0.5);
        assert_bonus(
                "boundary layer", "Boundary layers; a boundary-layer; boundary  LAYER", 2 * 0.75);
        assert_bonus("boundary layer", "A layer on a boundary", 0);
        assert_bonus("boundary layer flow", "boundary layer flow", 2 * 0.5 + 4 * 0.5);
        assert_bonus("boundary layer flow", "layer flow", 4 * 0.5);
}

static void test_words_in_between_may_be_two(void **state) {
        (void) state;
        assert_bonus("speed wing", "the speed of a wing", 2 * 0.5);
        assert_bonus("speed wing", "the speed of such a wing", 0);
        assert_bonus("the speed of a wing", "speed, wing", 2 * 0.5);
}

static void test_a_word_alone_has_no_neighbour(void **state) {
        (void) state;
        assert_bonus("speed", "speed speed speed", 0);
        assert_bonus("", "speed", 0);
        assert_bonus("speed wing", "", 0);
}

static void test_what_the_index_does_not_know_is_worth_nothing(void **state) {
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words("one two three");
        _cleanup_analyzer_ struct Analyzer *analyzer = NULL;
        const double idfs[PROMPT_WORDS_MAX] = { 3, 0, 3 };
        double result = -1;

        (void) state;
        assert_int_equal(analyzer_new(&analyzer), 0);
        assert_int_equal(proximity_bonus(analyzer, words, idfs, "one two three", 13, &result), 0);
        assert_true(fabs(result) < 1e-9);
}

static double bound(const char *prompt, const uint8_t frequencies[static PROMPT_WORDS_MAX]) {
        _cleanup_prompt_words_ struct PromptWords *words = fixture_words(prompt);
        double idfs[PROMPT_WORDS_MAX];

        for (size_t i = 0; i < PROMPT_WORDS_MAX; i++)
                idfs[i] = 2.0 * (double) (i + 1);
        return proximity_bound(words, idfs, frequencies);
}

static void test_no_text_gets_more_than_its_words_can(void **state) {
        const uint8_t thrice[PROMPT_WORDS_MAX] = { 1, 3, 1 }, apart[PROMPT_WORDS_MAX] = { 2, 0, 2 },
                      many_times[PROMPT_WORDS_MAX] = { 1, VECTOR_FREQUENCY_MAX - 1 },
                      often[PROMPT_WORDS_MAX] = { 1, VECTOR_FREQUENCY_MAX };
        const char *wings = "speed wing, wing wing flow",
                   *many = "speed wing speed wing speed wing";

        (void) state;
        assert_true(fabs(bound("speed wing flow", thrice) -
                            PROXIMITY_SHARE * (2 * 0.75 + 4 * 0.5)) < 1e-9);
        assert_true(bound("speed wing flow", thrice) >= bonus("speed wing flow", wings));
        assert_true(bound("speed wing flow", apart) == 0);
        assert_true(fabs(bound("speed wing", many_times) - PROXIMITY_SHARE * 2 * 254 / 255) < 1e-9);
        assert_true(fabs(bound("speed wing", often) - PROXIMITY_SHARE * 2) < 1e-9);
        assert_true(bound("speed wing", often) >= bonus("speed wing", many));
}

static void test_scripts_without_spaces_have_phrases_too(void **state) {
        (void) state;
        /* 北京 京大 大学: two pairs. */
        assert_bonus("北京大学", "他在北京大学学习", 2 * 0.5 + 4 * 0.5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_neighbours_in_the_order_of_the_prompt_count),
                cmocka_unit_test(test_words_in_between_may_be_two),
                cmocka_unit_test(test_a_word_alone_has_no_neighbour),
                cmocka_unit_test(test_what_the_index_does_not_know_is_worth_nothing),
                cmocka_unit_test(test_no_text_gets_more_than_its_words_can),
                cmocka_unit_test(test_scripts_without_spaces_have_phrases_too),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
