/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Decoding as slowly and plainly as RFC 3629 §4 writes its grammar, to compare with. */
static size_t grammar(const unsigned char *s, size_t n) {
        static const struct {
                unsigned char from, to, second_from, second_to;
                size_t length;
        } rows[] = {
                { 0x00, 0x7f, 0, 0, 1 },
                { 0xc2, 0xdf, 0x80, 0xbf, 2 },
                { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
                { 0xe1, 0xec, 0x80, 0xbf, 3 },
                { 0xed, 0xed, 0x80, 0x9f, 3 },
                { 0xee, 0xef, 0x80, 0xbf, 3 },
                { 0xf0, 0xf0, 0x90, 0xbf, 4 },
                { 0xf1, 0xf3, 0x80, 0xbf, 4 },
                { 0xf4, 0xf4, 0x80, 0x8f, 4 },
        };

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                if (s[0] < rows[i].from || s[0] > rows[i].to || rows[i].length > n)
                        continue;
                if (rows[i].length > 1 && (s[1] < rows[i].second_from || s[1] > rows[i].second_to))
                        return 0;
                for (size_t k = 2; k < rows[i].length; k++)
                        if (s[k] < 0x80 || s[k] > 0xbf)
                                return 0;
                return rows[i].length;
        }
        return 0;
}

static void test_decoder_takes_exactly_the_grammar_of_rfc_3629(void **state) {
        (void) state;
        /* All pairs of lead and second byte, with tails at the edges of what continues. */
        static const unsigned char tails[] = { 0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff };

        for (unsigned a = 0; a < 256; a++)
                for (unsigned b = 0; b < 256; b++)
                        for (size_t c = 0; c < sizeof tails; c++)
                                for (size_t d = 0; d < sizeof tails; d++) {
                                        unsigned char s[] = { (unsigned char) a, (unsigned char) b,
                                                tails[c], tails[d] };
                                        for (size_t n = 1; n <= sizeof s; n++) {
                                                uint32_t character;
                                                assert_int_equal(utf8_decode((const char *) s, n,
                                                                         &character),
                                                        grammar(s, n));
                                        }
                                }
}

static void test_every_character_survives_encoding_and_decoding(void **state) {
        (void) state;
        for (uint32_t c = 0; c <= 0x10ffff; c++) {
                char text[4];
                uint32_t back;

                if (c >= 0xd800 && c <= 0xdfff)
                        continue;
                size_t n = utf8_encode(c, text);
                assert_int_equal(utf8_decode(text, n, &back), n);
                assert_int_equal(back, c);
                assert_int_equal(utf8_count(text, n), 1);
        }
}

static void test_valid_prefix_ends_at_the_first_bad_byte_wherever_it_is(void **state) {
        (void) state;
        char text[64];

        for (size_t size = 0; size <= sizeof text; size++)
                for (size_t bad = 0; bad <= size; bad++) {
                        memset(text, 'x', sizeof text);
                        if (bad < size)
                                text[bad] = (char) 0xff;
                        assert_int_equal(utf8_valid_prefix(text, size), bad);
                }
        assert_int_equal(utf8_valid_prefix("ab\xc3\xa4", 3), 2); /* cut in a character */
        assert_true(utf8_is_valid("a\0b", 3));
}

static void test_count_counts_characters_not_bytes(void **state) {
        (void) state;
        static const char text[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";

        assert_int_equal(utf8_count(text, strlen(text)), 4);
        assert_int_equal(utf8_count(text, 0), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_decoder_takes_exactly_the_grammar_of_rfc_3629),
                cmocka_unit_test(test_every_character_survives_encoding_and_decoding),
                cmocka_unit_test(test_valid_prefix_ends_at_the_first_bad_byte_wherever_it_is),
                cmocka_unit_test(test_count_counts_characters_not_bytes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
