/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/chunker.h"

#include <stdbool.h>

#include "chunker-fixture.h"

/* Where sections that are too long are split, and where not. */

static size_t count_chunks_with(const struct DocumentText *document, const char *text) {
        size_t n = 0;

        for (size_t i = 0; i < document->n_chunks; i++)
                if (memmem(document->chunks[i].text, document->chunks[i].size, text, strlen(text)))
                        n++;
        return n;
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

static void test_headings_in_long_quotes_and_lists_are_text(void **state) {
        (void) state;
        static const char *const units[] = { "> # B\n>\n> text\n>\n", "- # B\n\n  text\n\n" };

        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
                _cleanup_free_ char *inner = repeat(units[i], 500), *text = NULL;

                assert_true(asprintf(&text, "# A\n\n%s", inner) > 0);
                _cleanup_document_text_ struct DocumentText *document =
                        chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
                assert_true(document->n_chunks > 3);
                for (size_t k = 0; k < document->n_chunks; k++) {
                        assert_string_equal(document->chunks[k].heading_path[0], "A");
                        assert_null(document->chunks[k].heading_path[1]);
                }
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

/* Some 5 MB, of which no chunk is much too small either. */
static void expect_pieces(const char *opening, const char *unit, size_t n, const char *closing) {
        _cleanup_free_ char *units = repeat(unit, n), *text = NULL;

        assert_true(asprintf(&text, "%s%s%s", opening, units, closing) > 0);
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);
        size_t sum = 0;

        assert_true(document->n_chunks > 1);
        for (size_t i = 0; i < document->n_chunks; i++) {
                assert_true(document->chunks[i].size <= CHUNK_MAX);
                sum += document->chunks[i].size;
                if (i > 0)
                        assert_true(document->chunks[i].text >
                                document->chunks[i - 1].text + document->chunks[i - 1].size - 1);
        }
        assert_true(
                sum + document->n_chunks * 8 >= strlen(text)); /* but for line ends and blanks */
}

static void test_what_fits_into_no_pack_is_split_whatever_it_is(void **state) {
        (void) state;
        expect_pieces("```\n", "a line of a log 12 13 14\n", 200000, "```\n");
        expect_pieces("```\n", "a word of an endless line ", 200000, "\n```\n");
        expect_pieces("", "    indented code, 12 13 14\n", 200000, "");
        expect_pieces("| a | b |\n|---|---|\n| ", "cell of a row ", 400000, " | b |\n");
        expect_pieces("<table>\n<tr>\n", "<td>cell of one row\n", 250000, "</tr>\n</table>\n");
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
                _cleanup_free_ char *units = repeat(cases[i].unit, 4000), *text = NULL;

                assert_true(asprintf(&text, "x%s", units) > 0);
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

static void test_an_endless_heading_is_a_line_like_any_other(void **state) {
        (void) state;
        static const char *const forms[] = { "# %s\n\ntext\n", "%s\n---\n\ntext\n" };
        _cleanup_free_ char *words = repeat("word ", 40000);

        for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
                _cleanup_free_ char *text = NULL;
                size_t size = 0;

                assert_true(asprintf(&text, forms[i], words) > 0);
                _cleanup_document_text_ struct DocumentText *document =
                        chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);

                for (size_t k = 0; k < document->n_chunks; k++) {
                        const struct ChunkText *chunk = &document->chunks[k];

                        assert_true(chunk->size <= CHUNK_LINE_MAX);
                        assert_memory_equal(chunk->heading_path[0], "word word", 9);
                        size += chunk->size;
                }
                assert_true(size > strlen(text) * 99 / 100);
        }
}

static void test_a_line_of_the_usual_length_is_not_cut(void **state) {
        (void) state;
        _cleanup_free_ char *text = repeat("A sentence. ", 220); /* 2640 bytes */
        _cleanup_document_text_ struct DocumentText *document =
                chunk_bytes(text, strlen(text), DOCUMENT_MARKDOWN);

        assert_int_equal(document->n_chunks, 1);
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
                "# A\n[a]: /u\n## B\ntext\n",
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
                cmocka_unit_test(test_a_long_section_is_split_between_its_blocks),
                cmocka_unit_test(test_a_long_list_is_split_between_its_items),
                cmocka_unit_test(test_headings_in_long_quotes_and_lists_are_text),
                cmocka_unit_test(test_code_blocks_are_never_split),
                cmocka_unit_test(test_what_fits_into_no_pack_is_split_whatever_it_is),
                cmocka_unit_test(test_an_open_code_block_goes_to_the_end),
                cmocka_unit_test(test_a_heading_stays_with_code_that_is_too_long),
                cmocka_unit_test(test_table_rows_are_never_split),
                cmocka_unit_test(test_rows_of_html_tables_are_never_split),
                cmocka_unit_test(test_a_long_paragraph_is_split_at_line_ends),
                cmocka_unit_test(
                        test_an_endless_line_is_cut_behind_sentences_then_words_then_characters),
                cmocka_unit_test(test_an_endless_heading_is_a_line_like_any_other),
                cmocka_unit_test(test_a_line_of_the_usual_length_is_not_cut),
                cmocka_unit_test(test_long_plain_text_is_split_between_paragraphs),
                cmocka_unit_test(test_a_flood_of_headings_is_bounded),
                cmocka_unit_test(test_no_line_is_lost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
