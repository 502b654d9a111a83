/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/chunker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/utf8.h"

/* Line ends in [from, to): LF, CR LF or CR. */
static size_t count_lines(const char *from, const char *to) {
        size_t n = 0;

        for (; from < to; from++)
                if (*from == '\n' || (*from == '\r' && (from + 1 == to || from[1] != '\n')))
                        n++;
        return n;
}

/* What holds for every document: chunks lie in the text in order, without overlap, as whole
 * characters, and where their lines say. */
static void check_chunks(const char *text, size_t size, const struct DocumentText *document) {
        const char *at = text;
        size_t line = 1;

        assert_non_null(document->tags);
        assert_non_null(document->aliases);
        for (size_t i = 0; i < document->n_chunks; i++) {
                const struct ChunkText *chunk = &document->chunks[i];
                const char *end = chunk->text + chunk->size;

                assert_true(chunk->size > 0);
                assert_true(chunk->text >= at && end <= text + size);
                assert_true(utf8_is_valid(chunk->text, chunk->size));
                assert_true(end[-1] != '\n' && end[-1] != '\r');
                line += count_lines(at, chunk->text);
                assert_int_equal(chunk->start_line, line);
                line += count_lines(chunk->text, end);
                assert_int_equal(chunk->end_line, line);
                at = end;
        }
}

static struct DocumentText *chunk_bytes(const char *text, size_t size, enum DocumentKind kind) {
        struct DocumentText *document = NULL;

        assert_int_equal(chunk_document(text, size, kind, &document), 0);
        check_chunks(text, size, document);
        return document;
}

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

/* The same text over and over. */
static char *repeat(const char *text, size_t times) {
        size_t size = strlen(text);
        char *result = malloc(size * times + 1);

        assert_non_null(result);
        for (size_t i = 0; i < times; i++)
                memcpy(result + i * size, text, size);
        result[size * times] = '\0';
        return result;
}

static size_t count_chunks_with(const struct DocumentText *document, const char *text) {
        size_t n = 0;

        for (size_t i = 0; i < document->n_chunks; i++)
                if (memmem(document->chunks[i].text, document->chunks[i].size, text, strlen(text)))
                        n++;
        return n;
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

static void test_three_dashes_later_or_left_open_are_no_front_matter(void **state) {
        (void) state;
        expect_chunks("\n---\ntitle: T\n---\n",
                "[2-2] ---\n"
                "title: T > [3-4] title: T\\n---\n");
        expect_chunks("---\ntitle: T\n", "[1-2] ---\\ntitle: T\n");
        expect_chunks_of("---\na: b\n---\n", 13, DOCUMENT_TEXT, "[1-3] ---\\na: b\\n---\n");
}

static void test_a_long_section_is_split_between_its_blocks(void **state) {
        (void) state;
        _cleanup_free_ char *paragraph = repeat("word ", 140); /* 700 bytes */
        _cleanup_free_ char *text = NULL;

        assert_true(asprintf(&text, "# A\n\n%s\n\n%s\n\n%s\n\n%s\n\n%s\n", paragraph, paragraph,
                            paragraph, paragraph, paragraph) > 0);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
        assert_int_equal(document->n_chunks, 3);
        assert_int_equal(document->chunks[0].start_line, 1);
        assert_int_equal(document->chunks[0].end_line, 5);
        assert_int_equal(document->chunks[1].start_line, 7);
        assert_int_equal(document->chunks[1].end_line, 9);
        assert_int_equal(document->chunks[2].start_line, 11);
        for (size_t i = 0; i < 3; i++)
                assert_string_equal(document->chunks[i].heading_path[0], "A");
}

static void test_a_long_list_is_split_between_its_items(void **state) {
        (void) state;
        _cleanup_free_ char *items = repeat("- an item\n  of two lines\n\n  > and a quote\n", 200);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(items, strlen(items), DOCUMENT_MARKDOWN);

        assert_true(document->n_chunks > 3);
        for (size_t i = 0; i < document->n_chunks; i++) {
                const struct ChunkText *chunk = &document->chunks[i];
                assert_true(chunk->size <= CHUNK_TARGET_BYTES);
                assert_memory_equal(chunk->text, "- an item", strlen("- an item"));
                assert_memory_equal(chunk->text + chunk->size - strlen("quote"), "quote", 5);
        }
}

/* One code block of each kind, far longer than a chunk, in a document of other text. */
static void expect_whole_code(
        const char *before, const char *opening, const char *line, const char *closing) {
        _cleanup_free_ char *body = repeat(line, 8000);
        _cleanup_free_ char *code = NULL, *text = NULL;

        assert_true(asprintf(&code, "%s%s%s", opening, body, closing) > 0);
        assert_true(asprintf(&text, "# A\nbefore\n\n%s%s\n\nafter\n", before, code) > 0);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
        assert_int_equal(count_chunks_with(document, code), 1);
        assert_int_equal(count_chunks_with(document, "before"), 1);
        assert_int_equal(count_chunks_with(document, "after"), 1);
}

static void test_code_blocks_are_never_split(void **state) {
        (void) state;
        expect_whole_code("", "```c\n", "int main(void);\n\n\n# no heading\n", "```");
        expect_whole_code("", "~~~~\n", "```\n~~~\n\n- no list\n", "~~~~");
        expect_whole_code("", "<pre>\n", "as it is\n\n", "</pre>");
        expect_whole_code("", "    first\n", "    indented\n\n", "    last");
        expect_whole_code("- item\n\n", "  ```\n", "  in an item\n\n", "  ```");
        expect_whole_code("", "> ```\n", "> in a quote\n>\n", "> ```");
        expect_whole_code("- a\n  - b\n", "    > ~~~\n", "    > deep\n", "    > ~~~");
}

static void test_an_open_code_block_goes_to_the_end(void **state) {
        (void) state;
        _cleanup_free_ char *body = repeat("line\n\n", 2000);
        _cleanup_free_ char *text = NULL;

        assert_true(asprintf(&text, "text\n\n```\n%s# no heading\n", body) > 0);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
        assert_int_equal(document->n_chunks, 2);
        assert_int_equal(document->chunks[1].end_line, 4004);
}

static void test_a_heading_stays_with_code_that_is_too_long(void **state) {
        (void) state;
        _cleanup_free_ char *body = repeat("line\n", 1000);
        _cleanup_free_ char *text = NULL;

        assert_true(asprintf(&text, "# A\n\n```\n%s```\n[r]: /u\n", body) > 0);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
        assert_int_equal(document->chunks[0].start_line, 1);
        assert_int_equal(document->chunks[0].end_line, 1004);
        assert_int_equal(document->n_chunks, 2);
}

static void expect_whole_rows(const char *head, const char *row, size_t rows) {
        _cleanup_free_ char *body = repeat(row, rows);
        _cleanup_free_ char *text = NULL;
        size_t n = strlen(row) - 1;

        assert_true(asprintf(&text, "%s%s", head, body) > 0);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
        assert_true(document->n_chunks > 1);
        assert_true(document->chunks[0].size > strlen(head) + n - 1);
        for (size_t i = 0; i < document->n_chunks; i++) {
                const struct ChunkText *chunk = &document->chunks[i];
                assert_memory_equal(chunk->text + chunk->size - n, row, n);
                if (i > 0)
                        assert_memory_equal(chunk->text, row, n);
        }
}

static void test_table_rows_are_never_split(void **state) {
        (void) state;
        _cleanup_free_ char *cell = repeat("cell. ", 1500);
        _cleanup_free_ char *row = NULL, *quoted = NULL, *bare = NULL;

        assert_true(asprintf(&row, "| %s | b |\n", cell) > 0);
        assert_true(asprintf(&quoted, "> | %s | b |\n", cell) > 0);
        assert_true(asprintf(&bare, "%s | b\n", cell) > 0);
        expect_whole_rows("| a | b |\n| --- | :-: |\n", row, 4);
        expect_whole_rows("> | a | b |\n> | --- | :-: |\n", quoted, 4);
        expect_whole_rows("a | b\n-|-\n", bare, 4);
        expect_whole_rows("| a | b |\n| --- | :-: |\n", "| c | d |\n", 1000);
}

static void test_rows_of_html_tables_are_never_split(void **state) {
        (void) state;
        expect_whole_rows("<table>\n", "<tr>\n<td>one\n<td>two\n</tr>\n", 300);
        expect_whole_rows("<table>\n", "<tr><td>one</td><td>two</td></tr>\n", 300);
}

static void test_a_long_paragraph_is_split_at_line_ends(void **state) {
        (void) state;
        _cleanup_free_ char *text =
                repeat("A line that is not long, of a paragraph that is.\n", 500);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);

        assert_true(document->n_chunks > 10);
        for (size_t i = 0; i < document->n_chunks; i++) {
                const struct ChunkText *chunk = &document->chunks[i];
                assert_true(chunk->size <= CHUNK_TARGET_BYTES);
                assert_memory_equal(chunk->text, "A line", 6);
                assert_int_equal(chunk->text[chunk->size - 1], '.');
        }
}

static void test_an_endless_line_is_cut_behind_sentences_then_words_then_characters(void **state) {
        (void) state;
        static const struct {
                const char *unit, *end;
        } cases[] = {
                { "One sentence ends here. ", "." },
                { "\xe4\xb8\x80\xe5\x8f\xa5\xe8\xaf\x9d\xe3\x80\x82", "\xe3\x80\x82" },
                { "word without end ", "" },
                { "\xf0\x9f\x98\x80", "" },
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                _cleanup_free_ char *text = repeat(cases[i].unit, 4000);
                _cleanup_document_text_ struct DocumentText *document =
                        chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
                size_t n = strlen(cases[i].end);

                assert_true(document->n_chunks > 5);
                for (size_t k = 0; k < document->n_chunks; k++) {
                        const struct ChunkText *chunk = &document->chunks[k];
                        assert_true(chunk->size <= CHUNK_TARGET_BYTES);
                        assert_int_equal(chunk->start_line, 1);
                        assert_int_equal(chunk->end_line, 1);
                        if (k + 1 < document->n_chunks)
                                assert_memory_equal(chunk->text + chunk->size - n, cases[i].end, n);
                }
        }
}

static void test_a_line_of_the_usual_length_is_not_cut(void **state) {
        (void) state;
        _cleanup_free_ char *text = repeat("A sentence. ", 220); /* 2640 bytes */
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);

        assert_int_equal(document->n_chunks, 1);
}

static void test_plain_text_has_no_markup(void **state) {
        (void) state;
        static const char text[] = "# not a heading\n\n---\n\n```\n";

        expect_chunks_of(
                text, strlen(text), DOCUMENT_TEXT, "[1-5] # not a heading\\n\\n---\\n\\n```\n");
}

static void test_long_plain_text_is_split_between_paragraphs(void **state) {
        (void) state;
        _cleanup_free_ char *text = repeat("First line.\nSecond line.\n\n", 20000);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_TEXT);

        assert_true(document->n_chunks > 200);
        for (size_t i = 0; i < document->n_chunks; i++) {
                const struct ChunkText *chunk = &document->chunks[i];
                assert_true(chunk->size <= CHUNK_TARGET_BYTES);
                assert_memory_equal(chunk->text, "First", 5);
        }
}

static void test_a_flood_of_headings_is_bounded(void **state) {
        (void) state;
        _cleanup_free_ char *text = repeat("# h\nx\n", 200000);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);

        assert_true(document->n_chunks >= CHUNK_SECTIONS_MAX);
        assert_true(document->n_chunks < CHUNK_SECTIONS_MAX + 2000);
}

/* Nothing but headings with nothing below them is left out. */
static void test_no_line_is_lost(void **state) {
        (void) state;
        static const char *const texts[] = {
                "[a]: /u\n\n[b]: /u\n",
                "text\n[a]: /u\n\n# H\n[b]: /u\n\n```\nc\n```\n[d]: /u\n",
                "-\n  item\n\n-\n\n  > quote\n\n  1. x\n\n     y\n* * *\n",
                "> a\nlazy\n\n<!-- comment\n\n-->\n<b>\n\n&nbsp;\n\\\n",
        };

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
                for (size_t times = 1; times <= 400; times += 399) {
                        _cleanup_free_ char *text = repeat(texts[i], times);
                        _cleanup_document_text_ struct DocumentText *document =
                                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
                        const char *at = text;

                        for (size_t k = 0; k <= document->n_chunks; k++) {
                                const char *end = k < document->n_chunks ? document->chunks[k].text
                                                                         : text + strlen(text);
                                for (; at < end; at++)
                                        assert_non_null(strchr(" \t\n", *at));
                                if (k < document->n_chunks)
                                        at += document->chunks[k].size;
                        }
                }
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
                cmocka_unit_test(test_a_heading_without_anything_is_still_found),
                cmocka_unit_test(test_line_ends_of_all_kinds_count),
                cmocka_unit_test(test_nothing_but_blanks_has_no_chunk),
                cmocka_unit_test(test_a_byte_order_mark_is_not_part_of_the_text),
                cmocka_unit_test(
                        test_the_title_is_of_front_matter_else_of_the_first_level_1_heading),
                cmocka_unit_test(test_front_matter_is_in_no_chunk_and_lines_still_count),
                cmocka_unit_test(test_broken_front_matter_is_text_and_says_so),
                cmocka_unit_test(test_three_dashes_later_or_left_open_are_no_front_matter),
                cmocka_unit_test(test_a_long_section_is_split_between_its_blocks),
                cmocka_unit_test(test_a_long_list_is_split_between_its_items),
                cmocka_unit_test(test_code_blocks_are_never_split),
                cmocka_unit_test(test_an_open_code_block_goes_to_the_end),
                cmocka_unit_test(test_a_heading_stays_with_code_that_is_too_long),
                cmocka_unit_test(test_table_rows_are_never_split),
                cmocka_unit_test(test_rows_of_html_tables_are_never_split),
                cmocka_unit_test(test_a_long_paragraph_is_split_at_line_ends),
                cmocka_unit_test(
                        test_an_endless_line_is_cut_behind_sentences_then_words_then_characters),
                cmocka_unit_test(test_a_line_of_the_usual_length_is_not_cut),
                cmocka_unit_test(test_plain_text_has_no_markup),
                cmocka_unit_test(test_long_plain_text_is_split_between_paragraphs),
                cmocka_unit_test(test_a_flood_of_headings_is_bounded),
                cmocka_unit_test(test_no_line_is_lost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
