/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/excerpt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/cleanup.h"
#include "lib/base/utf8.h"

/* `before` bytes of x, then `text`, then more than fits. */
static char *padded(size_t before, const char *text) {
        char *made = malloc(before + strlen(text) + 1001);

        assert_non_null(made);
        memset(made, 'x', before);
        strcpy(made + before, text);
        memset(made + before + strlen(text), 'y', 1000);
        made[before + strlen(text) + 1000] = '\0';
        return made;
}

static void expect_end(size_t before, const char *text, size_t expected) {
        _cleanup_free_ char *made = padded(before, text);

        assert_int_equal(excerpt_size(made, strlen(made), 400), expected);
}

static void test_a_paragraph_is_better_than_a_line_and_a_line_than_a_sentence(void **state) {
        (void) state;
        expect_end(250, "\n\nb\nc. d", 250);
        expect_end(250, "\r\n \t\r\nb\r\nc. d", 250);
        expect_end(250, "\nb\nc. d", 252);
        expect_end(250, "\rb\rc. d", 252);
        expect_end(250, ". b! c? d", 257);
        expect_end(250,
                "\xe3\x80\x82"
                "b\xef\xbc\x9f"
                "c",
                257);
        expect_end(250, ". b\n", 253);
}

static void test_a_first_half_alone_is_no_excerpt(void **state) {
        (void) state;
        expect_end(150, "\n\nb\nc. d", 0);
        expect_end(250, " b c.d 3.14 d", 0);
        expect_end(398, ". b", 399);
        expect_end(400, ". b", 0);
}

static void test_there_must_be_room_and_something_must_be_left(void **state) {
        (void) state;
        _cleanup_free_ char *made = padded(150, "\n");

        assert_int_equal(excerpt_size(made, strlen(made), EXCERPT_MIN), 150);
        assert_int_equal(excerpt_size(made, strlen(made), EXCERPT_MIN - 1), 0);
        assert_int_equal(excerpt_size(made, strlen(made), 0), 0);
        assert_int_equal(excerpt_size("", 0, 400), 0);
        assert_int_equal(excerpt_size("a. b.", 5, UINT64_MAX), 0);
}

static void test_characters_are_counted_and_stay_whole(void **state) {
        (void) state;
        char text[3 * 600 + 1] = "";

        for (size_t i = 0; i < 600; i++)
                strcat(text, i % 10 == 9 ? "\xe3\x80\x82" : "\xe6\x97\xa5");
        for (uint64_t max = EXCERPT_MIN; max < 700; max++) {
                size_t size = excerpt_size(text, strlen(text), max);

                assert_int_equal(size, 3 * (max < 600 ? max / 10 * 10 : 590));
                assert_true(utf8_is_valid(text, size));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_paragraph_is_better_than_a_line_and_a_line_than_a_sentence),
                cmocka_unit_test(test_a_first_half_alone_is_no_excerpt),
                cmocka_unit_test(test_there_must_be_room_and_something_must_be_left),
                cmocka_unit_test(test_characters_are_counted_and_stay_whole),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
