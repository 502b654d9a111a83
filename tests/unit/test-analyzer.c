/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/analyzer.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyzer-fixture.h"

/* For the index and for a query alike. */
static void assert_terms(const char *text, const char *expected) {
        assert_terms_of(ANALYZE_INDEX, text, expected);
        assert_terms_of(ANALYZE_QUERY, text, expected);
}

static void test_english_words_are_reduced_to_their_stems(void **state) {
        (void) state;
        assert_terms("running runs Run", "run|run|run");
        assert_terms("interferometers", "interferomet");
        assert_terms("The polisher polishes.", "the|polish|polish");
        assert_terms("is a it", "is|a|it");
        assert_terms("don't", "don|t");
        /* Twice, as the second comes from what is remembered. */
        assert_terms("generously generously", "generous|generous");
}

static void test_names_and_codes_stay_what_they_are(void **state) {
        (void) state;
        assert_terms("p05", "p05");
        assert_terms("EXDEV", "exdev");
        assert_terms("atocore.db", "atocore.db|atocor|db");
        assert_terms("foo_bar", "foo_bar|foo|bar");
        assert_terms("p05-interferometer", "p05-interferometer|p05|interferomet");
        assert_terms("a.b-c_d", "a.b-c_d|a|b|c|d");
        assert_terms("C++ c# .net -v --force", "c++|c|c#|c|net|v|forc");
        assert_terms("(Foo_C#) g++, x++y #1 A#b c+ 5# C+++ c##",
                "foo_c#|foo_c|foo|c|g++|g|x|y|1|a|b|c|5|c|c");
        /* In a text without spaces as well. */
        assert_terms_of(
                ANALYZE_QUERY, "版本10.3发布foo_bar的", "版本|10.3|10|3|发布|foo_bar|foo|bar|的");
        assert_terms("3.14 v1.2.3", "3.14|3|14|v1.2.3|v1|2|3");
        assert_terms("end. -start _x_ a--b a..b", "end|start|x|a|b|a|b");
        assert_terms("runnings2", "runnings2");
        assert_terms("path/to/file.md", "path|to|file.md|file|md");
}

static void test_case_and_width_do_not_matter(void **state) {
        (void) state;
        assert_terms("GLASS Glass gLaSs", "glass|glass|glass");
        assert_terms("ＲＵＮＮＩＮＧ ｐ０５", "run|p05");
        assert_terms("ÄRGER Ärger ärger", "arger|arger|arger");
        assert_terms("ΣΊΣΥΦΟΣ Σίσυφος", "σισυφοσ|σισυφοσ");
        assert_terms("ПРИВЕТ Привет", "привет|привет");
        assert_terms("ﬁnd ﬂow", "find|flow");
        assert_terms("x² H₂O ①", "x2|h2o|1");
        /* The long form of a character may be more than a word. */
        assert_terms("⑴ ½", "1|1|2");
        assert_terms("ﾊﾟﾝ", "パン");
        assert_terms("パン", "パン");
}

static void test_diacritics_do_not_matter(void **state) {
        (void) state;
        assert_terms("Straße STRASSE", "strass|strass");
        assert_terms("Mühle Muhle Mu\u0308hle", "muhl|muhl|muhl");
        assert_terms("élève à Noël", "elev|a|noel");
        assert_terms("Tiếng Việt đường Đường", "tieng|viet|duong|duong");
        assert_terms("Łódź smørrebrød Iğdır İstanbul", "lodz|smorrebrod|igdir|istanbul");
        assert_terms("naïve naive", "naiv|naiv");
        assert_terms("ёлка елка", "елка|елка");
        assert_terms("cœur coeur Ægir ægir", "coeur|coeur|aegir|aegir");
}

static void test_arabic_is_found_with_and_without_its_signs(void **state) {
        (void) state;
        assert_terms("مُحَمَّد", "محمد");
        assert_terms("محمد", "محمد");
        assert_terms("كتـــاب كتاب", "كتاب|كتاب");
        assert_terms("أحمد احمد", "احمد|احمد");
        assert_terms("مدرسة مدرسه", "مدرسه|مدرسه");
        assert_terms("على علي", "علي|علي");
        assert_terms("ﻣﺪﺭﺳﺔ", "مدرسه"); /* presentation forms */
        /* By a Persian keyboard and by an Arabic one. */
        assert_terms("کتابی", "كتابي");
        assert_terms("كتابي", "كتابي");
}

static void test_hebrew_is_found_with_and_without_its_points(void **state) {
        (void) state;
        assert_terms("שָׁלוֹם", "שלום");
        assert_terms("שלום", "שלום");
}

static void test_scripts_without_spaces_become_pairs(void **state) {
        (void) state;
        assert_terms_of(ANALYZE_INDEX, "干涉仪", "干|干涉|涉|涉仪|仪");
        assert_terms_of(ANALYZE_QUERY, "干涉仪", "干涉|涉仪");
        assert_terms_of(ANALYZE_QUERY, "한국어", "한국|국어");
        assert_terms("カメラ", "カメ|メラ");
        assert_terms("ひらがな", "ひら|らが|がな");
        /* A sign belongs to its character. */
        assert_terms("ที่นี่", "ที่นี่");
        assert_terms("น้ำ", "น\u0e49\u0e4d\u0e32");
        assert_terms_of(
                ANALYZE_INDEX, "日本語とEnglishの文", "日|日本|本|本語|語|語と|english|の文|文");
        assert_terms_of(ANALYZE_QUERY, "한국어P05", "한국|국어|p05");
        /* The first syllable is a noun, maybe, and what follows its particle. */
        assert_terms_of(ANALYZE_INDEX, "물은 선물을", "물|물은|선|선물|물을");
        assert_terms_of(ANALYZE_QUERY, "물", "물");
        /* Composed or not. */
        assert_terms_of(ANALYZE_INDEX, "\u1112\u1161\u11ab\u1100\u116e\u11a8", "한|한국");
        assert_terms("か\u3099き", "がき");
}

static void test_a_single_character_is_found(void **state) {
        (void) state;
        assert_terms("光", "光");
        assert_terms("の", "の");
        assert_terms("국", "국");
        assert_terms("a", "a");
        assert_terms_of(ANALYZE_INDEX, "𠀀𠀁", "𠀀|𠀀𠀁|𠀁");
        assert_terms("光、鏡。", "光|鏡");
}

static void test_marks_that_nobody_sees_do_not_matter(void **state) {
        (void) state;
        assert_terms("co\u00adoperate", "cooper");
        assert_terms("\ufeffglass\u200e", "glass");
        assert_terms("\u202bglass\u202c", "glass");
        assert_terms("می\u200cخواهم", "ميخواهم");
        assert_terms("glass\u200bscale", "glass|scale"); /* the one that ends words */
        assert_terms("\u200e\u200f\u202a\u2066\u2069\ufeff\u00ad", "");
        /* Which form of an emoji, and of an ideograph. */
        assert_terms("\u26a0\ufe0fVorsicht 1\ufe0f\u20e3Erstens \u26a0\ufe0f", "vorsicht|1erstens");
        assert_terms_of(ANALYZE_QUERY, "\u845b\U000e0100\u57ce", "\u845b\u57ce");
}

static void test_what_is_no_word_separates_words(void **state) {
        (void) state;
        assert_terms("", "");
        assert_terms(" \t\r\n!?\"'()[]{}<>|*^~", "");
        assert_terms("😀 👩‍👩‍👧 🇩🇪 ☃", "");
        assert_terms("glass😀scale", "glass|scale");
        assert_terms("a—b…c", "a|b|c");
        assert_terms("one\x01two\x7fthree", "one|two|three");
}

static void test_what_is_not_utf8_separates_words(void **state) {
        static const char text[] = "one\xff"
                                   "two\xc3 three\xed\xa0\x80"
                                   "four\0five\xe4\xb8";
        char *terms = terms_of(ANALYZE_INDEX, text, sizeof text - 1, NULL);

        (void) state;
        assert_string_equal(terms, "one|two|three|four|five");
        free(terms);
        assert_terms("m\xfchle", "m|hle");
}

/* Of every sequence of three bytes of a kind: nothing is read beyond the end, each term is one. */
static void test_any_bytes_are_taken(void **state) {
        static const unsigned char bytes[] = { 0, 'a', 'Z', '5', '-', '.', ' ', 0x80, 0xbf, 0xc0,
                0xc3, 0xa4, 0xe3, 0x82, 0xcc, 0x81, 0xed, 0xef, 0xf0, 0x9f, 0xf4, 0xff };
        uint32_t random = 2463534242;

        (void) state;
        for (int i = 0; i < 20000; i++) {
                size_t size = (size_t) i % 13;
                char *text = malloc(size + 1); /* exact, for the sanitizers */

                text = realloc(text, size > 0 ? size : 1);
                for (size_t k = 0; k < size; k++) {
                        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
                        text[k] = (char) bytes[random % sizeof bytes];
                }
                free(terms_of(i % 2 ? ANALYZE_INDEX : ANALYZE_QUERY, text, size, NULL));
                free(text);
        }
}

static void test_a_term_ends_at_a_character(void **state) {
        char text[256], expected[256];

        (void) state;
        memset(text, 'x', 100);
        text[100] = '\0';
        memset(expected, 'x', TERM_SIZE_MAX);
        expected[TERM_SIZE_MAX] = '\0';
        assert_terms(text, expected);

        /* The 64th byte is inside of the 32nd character of two bytes. */
        text[0] = 'x';
        for (size_t i = 0; i < 40; i++)
                memcpy(text + 1 + 2 * i, "ж", 3);
        memcpy(expected, text, 63);
        expected[63] = '\0';
        assert_terms(text, expected);
}

static void test_no_part_of_a_long_name_is_lost(void **state) {
        char text[8 * 500 + 1], *end = text;
        size_t n;

        (void) state;
        for (int i = 0; i < 500; i++)
                end += sprintf(end, "%sname%03d", i > 0 ? "-" : "", i);
        char *terms = terms_of(ANALYZE_QUERY, text, strlen(text), &n);
        assert_int_equal(n, 501);
        assert_non_null(strstr(terms, "|name000|"));
        assert_string_equal(terms + strlen(terms) - 8, "|name499");
        free(terms);
}

static void test_a_megabyte_without_a_space(void **state) {
        static const struct {
                const char *unit;
                size_t n;
        } cases[] = {
                { "x", 1 },
                { "x-", 1 << 19 },        /* the last joint is at its end */
                { "ж", 1 },               /* spaced: cut */
                { "光", 2 * 349525 - 1 }, /* each, and each pair */
                { "\u0301", 0 },          /* marks alone */
                { "\u200d", 0 },
        };

        (void) state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                size_t unit = strlen(cases[i].unit), size = (1 << 20) / unit * unit, n;
                char *text = malloc(size);

                for (size_t at = 0; at < size; at += unit)
                        memcpy(text + at, cases[i].unit, unit);
                free(terms_of(ANALYZE_INDEX, text, size, &n));
                if (cases[i].unit[0] == 'x' && unit == 2)
                        assert_int_equal(n, cases[i].n + 1);
                else
                        assert_int_equal(n, cases[i].n);
                free(text);
        }
}

static int stop_at_second(void *userdata, const char *term, size_t size, size_t start, size_t end) {
        (void) term, (void) size, (void) start, (void) end;
        return ++*(int *) userdata == 2 ? -EIO : 0;
}

static void test_the_caller_can_end_it(void **state) {
        static const char *const texts[] = { "a b c", "a-b-c", "光学仪器", "ä ö ü" };

        (void) state;
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                int n = 0;

                assert_int_equal(analyze(analyzer, ANALYZE_INDEX, texts[i], strlen(texts[i]),
                                         stop_at_second, &n),
                        -EIO);
                assert_int_equal(n, 2);
        }
}

static int check_place(void *userdata, const char *term, size_t size, size_t start, size_t end) {
        const char *const text = userdata;

        (void) term, (void) size;
        assert_memory_equal(text + start, "Größe-7", end - start);
        return 0;
}

static void test_the_place_is_that_of_the_word(void **state) {
        static char text[] = "… Größe, Größe";

        (void) state;
        assert_int_equal(
                analyze(analyzer, ANALYZE_INDEX, text, strlen(text), check_place, text), 0);
}

/* A real vault, where it is at hand. */

static bool has_term(const char *terms, const char *term, size_t size) {
        const char *at = terms;

        while ((at = memmem(at, strlen(at), term, size))) {
                if ((at == terms || at[-1] == '|') && (at[size] == '|' || at[size] == '\0'))
                        return true;
                at++;
        }
        return false;
}

/* What a query makes of a word is among what the index made of it. */
static void check_words(char *text) {
        char *rest = text, *word;

        while ((word = strsep(&rest, " \t\r\n"))) {
                char *indexed = terms_of(ANALYZE_INDEX, word, strlen(word), NULL);
                char *asked = terms_of(ANALYZE_QUERY, word, strlen(word), NULL);

                if (strcmp(indexed, asked) != 0)
                        for (char *term = asked, *next; term; term = next) {
                                size_t size = strcspn(term, "|");

                                next = term[size] ? term + size + 1 : NULL;
                                assert_true(has_term(indexed, term, size));
                        }
                free(indexed);
                free(asked);
        }
}

static void test_a_query_makes_of_a_word_what_the_index_made(void **state) {
        static char languages[] = "干涉仪のカメラ 한국어로 น้ำตาล Straße-5 مدرسة atocore.db ﾊﾟﾝ 光";
        struct dirent **names;
        char directory[] = TESTS_SOURCE "/../../shared/data/vault/Files and folders";
        int n;

        (void) state;
        check_words(languages);
        n = scandir(directory, &names, NULL, alphasort);
        for (int i = 0; i < n; i++) {
                char path[sizeof directory + 300], *text;
                FILE *file;
                size_t size;

                (void) snprintf(path, sizeof path, "%s/%s", directory, names[i]->d_name);
                free(names[i]);
                file = fopen(path, "re");
                text = calloc(1, 1 << 20);
                size = file ? fread(text, 1, (1 << 20) - 1, file) : 0; /* none of a directory */
                text[size] = '\0';
                check_words(text);
                free(text);
                if (file)
                        (void) fclose(file);
        }
        if (n >= 0)
                free(names);
        else
                print_message("No vault in %s: looked at a few words only\n", directory);
}

/* Where one term is, by all terms of a text and by what is handed out for it alone. */
struct Places {
        const char *term;
        FILE *stream;
        size_t n;
};

static int note_place(void *userdata, const char *term, size_t size, size_t start, size_t end) {
        struct Places *places = userdata;

        (void) end;
        places->n++;
        if (strlen(places->term) == size && memcmp(places->term, term, size) == 0)
                (void) fprintf(places->stream, "%zu at %zu,", places->n, start);
        return 0;
}

static char *places_of(const char *term, const char *text, bool only) {
        struct WantedTerms wanted = { 0 };
        char *list = NULL;
        size_t size;
        struct Places places = { term, open_memstream(&list, &size), 0 };

        wanted_terms_add(&wanted, term, strlen(term));
        assert_int_equal(only
                        ? analyze_for(analyzer, &wanted, text, strlen(text), note_place, &places)
                        : analyze(analyzer, ANALYZE_INDEX, text, strlen(text), note_place, &places),
                0);
        (void) fprintf(places.stream, "of %zu", places.n);
        (void) fclose(places.stream);
        return list;
}

static void test_who_looks_for_a_term_finds_it_where_it_is(void **state) {
        static const char text[] =
                "Dying skies, lying skis; tying an idly gently early only singly bias. Yes, the "
                "saying: eyes, oed, aed, ties, ies, us, as, gas. Flows flowing foo_bar p05-x 0x1F "
                "\u00dcber caf\u00e9s na\u00efve \u5149\u5b66 \u0434\u043e\u043c generously "
                "communism arsenal herring inning";
        size_t n;
        char *terms = terms_of(ANALYZE_INDEX, text, strlen(text), &n), *rest = NULL;

        (void) state;
        for (char *term = strtok_r(terms, "|", &rest); term; term = strtok_r(NULL, "|", &rest)) {
                char *all = places_of(term, text, false), *only = places_of(term, text, true);

                assert_string_equal(only, all);
                assert_non_null(strstr(all, " at "));
                free(all);
                free(only);
                n--;
        }
        assert_int_equal(n, 0);
        free(terms);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_english_words_are_reduced_to_their_stems),
                cmocka_unit_test(test_names_and_codes_stay_what_they_are),
                cmocka_unit_test(test_case_and_width_do_not_matter),
                cmocka_unit_test(test_diacritics_do_not_matter),
                cmocka_unit_test(test_arabic_is_found_with_and_without_its_signs),
                cmocka_unit_test(test_hebrew_is_found_with_and_without_its_points),
                cmocka_unit_test(test_scripts_without_spaces_become_pairs),
                cmocka_unit_test(test_a_single_character_is_found),
                cmocka_unit_test(test_marks_that_nobody_sees_do_not_matter),
                cmocka_unit_test(test_what_is_no_word_separates_words),
                cmocka_unit_test(test_what_is_not_utf8_separates_words),
                cmocka_unit_test(test_any_bytes_are_taken),
                cmocka_unit_test(test_a_term_ends_at_a_character),
                cmocka_unit_test(test_no_part_of_a_long_name_is_lost),
                cmocka_unit_test(test_a_megabyte_without_a_space),
                cmocka_unit_test(test_the_caller_can_end_it),
                cmocka_unit_test(test_the_place_is_that_of_the_word),
                cmocka_unit_test(test_a_query_makes_of_a_word_what_the_index_made),
                cmocka_unit_test(test_who_looks_for_a_term_finds_it_where_it_is),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
