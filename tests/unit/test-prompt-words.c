/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/prompt-words.h"

#include "lib/knowledge/schema.h"
#include "store-fixture.h"

static void assert_words(struct StoreFixture *f, const char *prompt, const char *expected) {
        _cleanup_prompt_words_ struct PromptWords *words = NULL;
        _cleanup_free_ char *expression = NULL;

        assert_success(f, prompt_words_find(store_database(f->store), prompt, &words, &f->failure));
        if (words->n_words > 0)
                expression = prompt_words_expression(words);
        assert_string_equal(expression ? expression : "", expected);
}

static void test_words_are_quoted_and_nothing_else_is_left(void **state) {
        struct StoreFixture *f = *state;

        assert_words(f, "glass scale", "\"glass\" OR \"scale\"");
        assert_words(f, "\"glass\"*", "\"glass\"");
        assert_words(f, "a-b:c NEAR(d, 5) ^e {f} +g",
                "\"b\" OR \"c\" OR \"NEAR\" OR \"d\" OR \"5\""
                " OR \"e\" OR \"f\" OR \"g\"");
        assert_words(f, "glass AND NOT scale OR", "\"glass\" OR \"scale\"");
        assert_words(f, "N\xc3\xa4he\xe2\x80\x94p05", "\"N\xc3\xa4he\" OR \"p05\"");
}

static void test_a_quote_in_a_word_would_be_doubled(void **state) {
        (void) state;
        struct PromptWords words = { .words = { { .text = "a\"b", .size = 3 } }, .n_words = 1 };
        _cleanup_free_ char *expression = prompt_words_expression(&words);

        assert_string_equal(expression, "\"a\"\"b\"");
}

static void test_a_prompt_without_words_has_none(void **state) {
        struct StoreFixture *f = *state;

        assert_words(f, "", "");
        assert_words(f, " \t\n", "");
        assert_words(f, "?! \"*\" -- () :: ''", "");
        assert_words(f, "\xf0\x9f\x98\x80 \xe2\x80\xa6", "");
        assert_words(f, "\xff\xfe\x80", "");
}

static void test_words_of_one_stem_are_one_word(void **state) {
        struct StoreFixture *f = *state;

        assert_words(f, "motor motors MOTOR m\xc3\xb3tor", "\"motor\"");
}

static void test_common_words_are_left_out_while_others_remain(void **state) {
        struct StoreFixture *f = *state;

        assert_words(f, "What IS the resolution of it?", "\"resolution\"");
        assert_words(f, "what is it", "\"what\" OR \"is\" OR \"it\"");
        assert_words(f, "islands whatever a yourself",
                "\"islands\" OR \"whatever\" OR"
                " \"yourself\"");
}

static void test_a_long_prompt_is_cut_and_says_so(void **state) {
        struct StoreFixture *f = *state;
        char prompt[8 * (PROMPT_WORDS_MAX + 1) + 1];

        for (int n = PROMPT_WORDS_MAX; n <= PROMPT_WORDS_MAX + 1; n++) {
                _cleanup_prompt_words_ struct PromptWords *words = NULL;

                for (int i = 0; i < n; i++)
                        (void) snprintf(prompt + 8 * i, 9, "word%03d ", i);
                assert_success(f,
                        prompt_words_find(store_database(f->store), prompt, &words, &f->failure));
                assert_int_equal(words->n_words, PROMPT_WORDS_MAX);
                assert_int_equal(words->cut, n > PROMPT_WORDS_MAX);
        }
}

static void test_a_megabyte_without_a_space_is_one_word(void **state) {
        struct StoreFixture *f = *state;
        _cleanup_prompt_words_ struct PromptWords *words = NULL;
        _cleanup_free_ char *prompt = malloc((1 << 20) + 1);

        memset(prompt, 'x', 1 << 20);
        prompt[1 << 20] = '\0';
        assert_success(f, prompt_words_find(store_database(f->store), prompt, &words, &f->failure));
        assert_int_equal(words->n_words, 1);
}

static void test_words_are_found_as_the_index_finds_them(void **state) {
        (void) state;
        /* The other place where this is said: it must be the same. */
        assert_non_null(
                strstr(schema_migrations[0], "tokenize = 'porter unicode61 remove_diacritics 2'"));
}

int main(void) {
#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_new_with_store, fixture_free)
        const struct CMUnitTest tests[] = {
                ON_STORE(test_words_are_quoted_and_nothing_else_is_left),
                cmocka_unit_test(test_a_quote_in_a_word_would_be_doubled),
                ON_STORE(test_a_prompt_without_words_has_none),
                ON_STORE(test_words_of_one_stem_are_one_word),
                ON_STORE(test_common_words_are_left_out_while_others_remain),
                ON_STORE(test_a_long_prompt_is_cut_and_says_so),
                ON_STORE(test_a_megabyte_without_a_space_is_one_word),
                cmocka_unit_test(test_words_are_found_as_the_index_finds_them),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
