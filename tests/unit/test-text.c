/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"

static const struct {
        const char *text;
        const char *escaped; /* NULL: printable as it is */
} cases[] = {
        { "", NULL },
        { "notes/café – 東京 😀.md", NULL },
        { "back\\slash \"quoted\"", NULL },
        { "two\nlines\ttab", "two\\nlines\\ttab" },
        { "\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m" },
        { "over\rwrite\x08\x7f", "over\\x0dwrite\\x08\\x7f" },
        { "C1 \xc2\x9b"
          "31m",
                "C1 \\xc2\\x9b31m" },
        { "\xff\xfe latin \xe9", "\\xff\\xfe latin \\xe9" },
        { "cut \xe6\x9d", "cut \\xe6\\x9d" },
        { "overlong \xc0\xaf", "overlong \\xc0\\xaf" },
        { "right-to-left \xe2\x80\xae override", "right-to-left \\xe2\\x80\\xae override" },
        { "line \xe2\x80\xa8 separator", "line \\xe2\\x80\\xa8 separator" },
};

static void test_what_is_fit_for_a_line_stays_as_it_is(void **state) {
        (void) state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
                assert_int_equal(text_is_printable(cases[i].text), !cases[i].escaped);
}

static void test_escaped_text_is_printable_and_tells_each_byte(void **state) {
        (void) state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                _cleanup_free_ char *escaped = text_escape(cases[i].text);

                assert_string_equal(escaped, cases[i].escaped ? cases[i].escaped : cases[i].text);
                assert_true(text_is_printable(escaped));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_fit_for_a_line_stays_as_it_is),
                cmocka_unit_test(test_escaped_text_is_printable_and_tells_each_byte),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
