/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/chunker.h"

#include <stdbool.h>

#include "chunker-fixture.h"

/* `A > B [3-7] first words…` for each chunk, one per line, as the tests below expect them. */
static char *summary(const struct DocumentText *document) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        for (size_t i = 0; i < document->n_chunks; i++) {
                const struct ChunkText *chunk = &document->chunks[i];

                for (char **heading = chunk->heading_path; *heading; heading++)
                        (void) fprintf(f, "%s > ", *heading);
                (void) fprintf(f, "[%zu-%zu] ", chunk->start_line, chunk->end_line);
                for (size_t k = 0; k < chunk->size; k++)
                        switch (chunk->text[k]) {
                        case '\n':
                                (void) fputs("\\n", f);
                                break;
                        case '\r':
                                (void) fputs("\\r", f);
                                break;
                        default:
                                (void) fputc(chunk->text[k], f);
                        }
                (void) fputc('\n', f);
        }
        assert_int_equal(fclose(f), 0);
        return text;
}

static void expect_chunks_of(
        const char *text, size_t size, enum DocumentKind kind, const char *expected) {
        _cleanup_document_text_ struct DocumentText *document = chunk_bytes(text, size, kind);
        _cleanup_free_ char *found = summary(document);

        assert_string_equal(found, expected);
}

static void expect_chunks(const char *text, const char *expected) {
        expect_chunks_of(text, strlen(text), DOCUMENT_MARKDOWN, expected);
}

static void test_chunks_follow_the_headings(void **state) {
        (void) state;
        expect_chunks(
                "before\n\n# One\nfirst\n\n## Two\n\nsecond\n### Three\nthird\n## Four\nfourth\n",
                "[1-1] before\n"
                "One > [3-4] # One\\nfirst\n"
                "One > Two > [6-8] ## Two\\n\\nsecond\n"
                "One > Two > Three > [9-10] ### Three\\nthird\n"
                "One > Four > [11-12] ## Four\\nfourth\n");
}

static void test_levels_that_are_skipped_leave_no_gap_in_the_path(void **state) {
        (void) state;
        expect_chunks("#### Deep\na\n## Up\nb\n###### Down\nc\n# Top\nd\n",
                "Deep > [1-2] #### Deep\\na\n"
                "Up > [3-4] ## Up\\nb\n"
                "Up > Down > [5-6] ###### Down\\nc\n"
                "Top > [7-8] # Top\\nd\n");
}

static void test_setext_headings_and_their_underline_belong_together(void **state) {
        (void) state;
        expect_chunks("Title\nof two lines\n===\ntext\n\nSub\n---\nmore\n",
                "Title of two lines > [1-4] Title\\nof two lines\\n===\\ntext\n"
                "Title of two lines > Sub > [6-8] Sub\\n---\\nmore\n");
}

static void test_headings_in_quotes_lists_and_code_are_text(void **state) {
        (void) state;
        expect_chunks("# A\n> # B\n\n- # C\n\n```\n# D\n```\n\n    # E\n\n<div>\n# F\n</div>\n",
                "A > [1-14] # A\\n> # B\\n\\n- # C\\n\\n```\\n# D\\n```\\n\\n    # E\\n\\n"
                "<div>\\n# F\\n</div>\n");
}

static void test_the_path_holds_plain_text(void **state) {
        (void) state;
        expect_chunks("# *A* **b** `c*` [d](e) ![f](g) <i>h</i> &amp; \\* i #\ntext\n",
                "A b c* d f h & * i > [1-2] # *A* **b** `c*` [d](e) ![f](g) <i>h</i> &amp; \\* i "
                "#\\ntext\n");
}

static void test_the_path_is_bounded_in_length(void **state) {
        (void) state;
        _cleanup_free_ char *long_words = repeat("h\xc3\xa4", 5000);
        _cleanup_free_ char *text = NULL;

        assert_true(asprintf(&text, "# %s\ntext\n", long_words) > 0);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
        assert_true(strlen(document->chunks[0].heading_path[0]) <= 240);
        assert_true(strlen(document->chunks[0].heading_path[0]) >= 230);
        assert_true(utf8_is_valid(
                document->chunks[0].heading_path[0], strlen(document->chunks[0].heading_path[0])));
}

static void test_a_heading_with_nothing_but_headings_below_is_in_their_paths(void **state) {
        (void) state;
        expect_chunks("# A\n\n## B\n\n### C\ntext\n", "A > B > C > [5-6] ### C\\ntext\n");
}

static void test_a_heading_that_says_more_than_the_path_is_a_chunk(void **state) {
        (void) state;
        _cleanup_free_ char *words = repeat("word ", 50);
        _cleanup_free_ char *text = NULL, *expected = NULL;
        static const struct {
                const char *heading;
                const char *label;
        } more[] = {
                { "# [Guide](https://example.org/guide)", "Guide" },
                { "# Guide <!-- old: handbook -->", "Guide" },
                { "# <a id=\"handbook\"></a>Guide", "Guide" },
                { "# ![Guide](handbook.png)", "Guide" },
        };
        static const char *const less[] = { "# *A* **b** `c` _d_ #",
                "A *b*\n===", "# a\\*b - c_d = e", "#\t a \t b", "#" };

        for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
                _cleanup_free_ char *with = NULL, *chunks = NULL;

                assert_true(asprintf(&with, "%s\n\n## B\ntext\n", more[i].heading) > 0);
                assert_true(asprintf(&chunks, "%s > [1-1] %s\n%s > B > [3-4] ## B\\ntext\n",
                                    more[i].label, more[i].heading, more[i].label) > 0);
                expect_chunks(with, chunks);
        }
        for (size_t i = 0; i < sizeof less / sizeof less[0]; i++) {
                _cleanup_free_ char *with = NULL;

                assert_true(asprintf(&with, "%s\n## B\ntext\n", less[i]) > 0);
                _cleanup_document_text_ struct DocumentText *document =
                        chunk_bytes(with, strlen(with), DOCUMENT_MARKDOWN);
                assert_int_equal(document->n_chunks, 1);
        }

        /* A paragraph that a line follows is a heading, too. */
        assert_true(asprintf(&text, "# A\n\n%slast\n---\n\n### C\ntext\n", words) > 0);
        assert_true(asprintf(&expected,
                            "A > %.239s > [3-4] %slast\\n---\n"
                            "A > %.239s > C > [6-7] ### C\\ntext\n",
                            words, words, words) > 0);
        expect_chunks(text, expected);
}

static void test_a_heading_without_anything_is_still_found(void **state) {
        (void) state;
        expect_chunks("# A\n## B\n## C\ntext\n# D\n",
                "A > B > [2-2] ## B\n"
                "A > C > [3-4] ## C\\ntext\n"
                "D > [5-5] # D\n");
}

static void test_line_ends_of_all_kinds_count(void **state) {
        (void) state;
        expect_chunks("# A\r\none\r\n\r\n## B\r\ntwo",
                "A > [1-2] # A\\r\\none\n"
                "A > B > [4-5] ## B\\r\\ntwo\n");
        expect_chunks("# A\rone\r\r## B\rtwo\r",
                "A > [1-2] # A\\rone\n"
                "A > B > [4-5] ## B\\rtwo\n");
        expect_chunks("\n\n\t\n# A\n\n\n", "A > [4-4] # A\n");
}

static void test_nothing_but_blanks_has_no_chunk(void **state) {
        (void) state;
        expect_chunks("", "");
        expect_chunks("\n", "");
        expect_chunks(" \t\n\r\n  ", "");
        expect_chunks("\xef\xbb\xbf", "");
        expect_chunks_of("\n\n", 2, DOCUMENT_TEXT, "");
}

static void test_a_byte_order_mark_is_not_part_of_the_text(void **state) {
        (void) state;
        expect_chunks("\xef\xbb\xbf# A\ntext\n", "A > [1-2] # A\\ntext\n");
        expect_chunks("\xef\xbb\xbf---\ntitle: T\n---\ntext\n", "[4-4] text\n");
}

static void test_the_title_is_of_front_matter_else_of_the_first_level_1_heading(void **state) {
        (void) state;
        static const struct {
                const char *text, *title;
        } cases[] = {
                { "---\ntitle: Front\n---\n# Heading\n", "Front" },
                { "## Second\n# First\n# Other\n", "First" },
                { "#\n# Named\n", "Named" },
                { "## Second\n", NULL },
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                _cleanup_document_text_ struct DocumentText *document =
                        chunk_bytes(cases[i].text, strlen(cases[i].text), DOCUMENT_MARKDOWN);
                if (cases[i].title)
                        assert_string_equal(document->title, cases[i].title);
                else
                        assert_null(document->title);
        }
}

static void test_front_matter_is_in_no_chunk_and_lines_still_count(void **state) {
        (void) state;
        expect_chunks("---\ntitle: T\ntags: [a]\n---\n\n# H\ntext\n", "H > [6-7] # H\\ntext\n");
        expect_chunks("---\r\ntags: a\r\n...\r\ntext\r\n", "[4-4] text\n");
        expect_chunks("---\n---\ntext\n", "[3-3] text\n");
}

static void test_front_matter_that_says_more_is_a_chunk_of_its_own(void **state) {
        (void) state;
        expect_chunks("---\ntitle: T\nserial: SN98765\n---\nbefore\n# H\ntext\n",
                "[1-4] ---\\ntitle: T\\nserial: SN98765\\n---\n"
                "[5-5] before\n"
                "H > [6-7] # H\\ntext\n");
        expect_chunks("---\ntags: [{a: b}]\n---\n# H\n",
                "[1-3] ---\\ntags: [{a: b}]\\n---\n"
                "H > [4-4] # H\n");
}

static void test_front_matter_alone_is_the_chunk(void **state) {
        (void) state;
        expect_chunks(
                "---\ntitle: T\ntags: [a]\n---\n", "[1-4] ---\\ntitle: T\\ntags: [a]\\n---\n");
        expect_chunks("\xef\xbb\xbf---\r\ntitle: T\r\n...\r\n\r\n \r\n",
                "[1-3] ---\\r\\ntitle: T\\r\\n...\n");
        expect_chunks("---\ntitle: T\n---", "[1-3] ---\\ntitle: T\\n---\n");
}

static void test_broken_front_matter_is_text_and_says_so(void **state) {
        (void) state;
        static const char text[] = "---\ntitle: [x\n---\n# H\ntext\n";
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
        _cleanup_free_ char *found = summary(document);

        assert_non_null(document->front_matter_error);
        assert_string_equal(document->title, "H");
        assert_string_equal(found,
                "[1-3] ---\\ntitle: [x\\n---\n"
                "H > [4-5] # H\\ntext\n");
}

static void test_far_more_than_front_matter_is_a_document_that_starts_with_a_line(void **state) {
        (void) state;
        _cleanup_free_ char *words = repeat("word\n", 20000);
        _cleanup_free_ char *text = NULL;

        assert_true(asprintf(&text, "---\n# Head\n%s\n---\n", words) > 0);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
        assert_non_null(document->front_matter_error);
        assert_string_equal(document->title, "Head");
}

static void test_three_dashes_later_or_left_open_are_no_front_matter(void **state) {
        (void) state;
        expect_chunks("\n---\ntitle: T\n---\n",
                "[2-2] ---\n"
                "title: T > [3-4] title: T\\n---\n");
        expect_chunks("---\ntitle: T\n", "[1-2] ---\\ntitle: T\n");
        expect_chunks_of("---\na: b\n---\n", 13, DOCUMENT_TEXT, "[1-3] ---\\na: b\\n---\n");
}

static void test_plain_text_has_no_markup(void **state) {
        (void) state;
        static const char text[] = "# not a heading\n\n---\n\n```\n";

        expect_chunks_of(
                text, strlen(text), DOCUMENT_TEXT, "[1-5] # not a heading\\n\\n---\\n\\n```\n");
}

static void test_pages_are_sections(void **state) {
        (void) state;
        static const char text[] = "one\n# no heading\n\f\n\f  two\nlast\fthree";
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_PAGES);
        _cleanup_free_ char *found = summary(document);

        assert_string_equal(found,
                "Page 1 > [1-2] one\\n# no heading\n"
                "Page 3 > [4-5]   two\\nlast\n"
                "Page 4 > [5-5] three\n");
        assert_null(document->title);
}

static void test_far_too_many_pages_are_one(void **state) {
        (void) state;
        _cleanup_free_ char *text = repeat("p\f", CHUNK_SECTIONS_MAX + 1000);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_PAGES);

        assert_true(document->n_chunks >= CHUNK_SECTIONS_MAX);
        assert_true(document->n_chunks < CHUNK_SECTIONS_MAX + 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_chunks_follow_the_headings),
                cmocka_unit_test(test_levels_that_are_skipped_leave_no_gap_in_the_path),
                cmocka_unit_test(test_setext_headings_and_their_underline_belong_together),
                cmocka_unit_test(test_headings_in_quotes_lists_and_code_are_text),
                cmocka_unit_test(test_the_path_holds_plain_text),
                cmocka_unit_test(test_the_path_is_bounded_in_length),
                cmocka_unit_test(test_a_heading_with_nothing_but_headings_below_is_in_their_paths),
                cmocka_unit_test(test_a_heading_that_says_more_than_the_path_is_a_chunk),
                cmocka_unit_test(test_a_heading_without_anything_is_still_found),
                cmocka_unit_test(test_line_ends_of_all_kinds_count),
                cmocka_unit_test(test_nothing_but_blanks_has_no_chunk),
                cmocka_unit_test(test_a_byte_order_mark_is_not_part_of_the_text),
                cmocka_unit_test(
                        test_the_title_is_of_front_matter_else_of_the_first_level_1_heading),
                cmocka_unit_test(test_front_matter_is_in_no_chunk_and_lines_still_count),
                cmocka_unit_test(test_front_matter_that_says_more_is_a_chunk_of_its_own),
                cmocka_unit_test(test_front_matter_alone_is_the_chunk),
                cmocka_unit_test(test_broken_front_matter_is_text_and_says_so),
                cmocka_unit_test(
                        test_far_more_than_front_matter_is_a_document_that_starts_with_a_line),
                cmocka_unit_test(test_three_dashes_later_or_left_open_are_no_front_matter),
                cmocka_unit_test(test_plain_text_has_no_markup),
                cmocka_unit_test(test_pages_are_sections),
                cmocka_unit_test(test_far_too_many_pages_are_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
