/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/passage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/utf8.h"

static char file[] = "sources/vault/a.md", outer[] = "Outer", inner[] = "Inner";
static char *path[] = { outer, inner, NULL };

static struct Chunk chunk(uint64_t ordinal, uint64_t start, uint64_t end, const char *content) {
        return (struct Chunk){ .id = (int64_t) ordinal + 100,
                .document_id = 7,
                .ordinal = ordinal,
                .source_file = file,
                .heading_path = path,
                .start_line = start,
                .end_line = end,
                .content = (char *) (uintptr_t) content, /* passages only read */
                .content_size = strlen(content),
                .char_count = utf8_count(content, strlen(content)) };
}

static void test_chunks_of_one_section_continue_one_another(void **state) {
        (void) state;
        struct Chunk first = chunk(3, 10, 12, "a\nb\nc");
        struct Chunk next = chunk(4, 14, 14, "#d");

        assert_true(passage_continues(&first, &next));
        assert_false(passage_continues(&next, &first));

        next.ordinal = 5;
        assert_false(passage_continues(&first, &next));
        next.ordinal = 4;
        next.document_id = 8;
        assert_false(passage_continues(&first, &next));
        next.document_id = 7;
        next.start_line = 12; /* another piece of the same line */
        assert_false(passage_continues(&first, &next));
}

static void test_another_section_is_no_continuation(void **state) {
        (void) state;
        static const char *const headings[] = { "# d", "   ###### d", "##", "##\nd", "##\r\n",
                "#\t" };
        char other[] = "Other";
        char *shorter[] = { outer, NULL }, *renamed[] = { outer, other, NULL };
        struct Chunk first = chunk(3, 10, 12, "a\nb\nc");
        struct Chunk next = chunk(4, 14, 14, "d");

        next.heading_path = shorter;
        assert_false(passage_continues(&first, &next));
        assert_false(passage_continues(&next, &first));
        next.heading_path = renamed;
        assert_false(passage_continues(&first, &next));
        next.heading_path = NULL;
        assert_false(passage_continues(&first, &next));
        first.heading_path = NULL;
        assert_true(passage_continues(&first, &next));

        for (size_t i = 0; i < sizeof headings / sizeof headings[0]; i++) {
                next.content = (char *) (uintptr_t) headings[i];
                next.content_size = strlen(headings[i]);
                assert_false(passage_continues(&first, &next));
        }
}

static void test_a_passage_is_cited_as_one_range(void **state) {
        (void) state;
        struct Chunk chunks[] = { chunk(4, 14, 14, "d"), chunk(3, 10, 12, "a\nb\nc"),
                chunk(5, 15, 16, "e\nf") };
        const struct Chunk *const order[] = { &chunks[1], &chunks[0], &chunks[2] };
        _cleanup_passage_ struct Passage *passage = NULL;

        assert_int_equal(passage_new(order, 3, 3, &passage), 0);
        assert_string_equal(passage->content, "a\nb\nc\n\nd\ne\nf");
        assert_int_equal(passage->content_size, 12);
        assert_int_equal(passage->char_count, 12);
        assert_int_equal(passage->start_line, 10);
        assert_int_equal(passage->end_line, 16);
        assert_ptr_equal(passage->best, &chunks[0]);
        assert_false(passage->cut);
        assert_string_equal(passage->text,
                "\n### sources/vault/a.md › Outer › Inner (lines 10–16)\n\na\nb\nc\n\nd\ne\nf\n");
        assert_int_equal(passage->characters, utf8_count(passage->text, passage->text_size));
}

static void test_lines_between_chunks_end_as_theirs_do(void **state) {
        (void) state;
        static const struct {
                const char *first, *second, *expected;
        } cases[] = {
                { "a\r\nb", "c", "a\r\nb\r\n\r\nc" },
                { "a\rb", "c", "a\rb\r\rc" },
                { "a\nb", "c\r\nd", "a\nb\n\nc\r\nd" },
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct Chunk chunks[] = { chunk(1, 1, 2, cases[i].first),
                        chunk(2, 4, 5, cases[i].second) };
                const struct Chunk *const order[] = { &chunks[0], &chunks[1] };
                _cleanup_passage_ struct Passage *passage = NULL;

                assert_int_equal(passage_new(order, 2, chunks[1].content_size, &passage), 0);
                assert_string_equal(passage->content, cases[i].expected);
        }

        struct Chunk chunks[] = { chunk(1, 1, 1, "a"), chunk(2, 3, 4, "b\r\nc") };
        const struct Chunk *const order[] = { &chunks[0], &chunks[1] };
        _cleanup_passage_ struct Passage *passage = NULL;
        assert_int_equal(passage_new(order, 2, 4, &passage), 0);
        assert_string_equal(passage->content, "a\r\n\r\nb\r\nc");
}

static void test_an_excerpt_cites_the_lines_that_it_has_and_says_that_it_is_cut(void **state) {
        (void) state;
        struct Chunk chunks[] = { chunk(3, 10, 11, "a\nb"), chunk(4, 13, 16, "c\r\nd. e\nf\ng") };
        const struct Chunk *const order[] = { &chunks[0], &chunks[1] };
        _cleanup_passage_ struct Passage *passage = NULL;

        assert_int_equal(passage_new(order, 2, 5, &passage), 0);
        assert_string_equal(passage->content, "a\nb\n\nc\r\nd.");
        assert_true(passage->cut);
        assert_int_equal(passage->end_line, 14);
        assert_string_equal(passage->text,
                "\n### sources/vault/a.md › Outer › Inner (lines 10–14)\n\n"
                "a\nb\n\nc\r\nd.\n\n[…]\n");
}

static void test_an_excerpt_of_code_stays_in_its_place(void **state) {
        (void) state;
        struct Chunk chunks[] = { chunk(3, 10, 13, "```\nint a;\nint b;\n```") };
        const struct Chunk *const order[] = { &chunks[0] };
        _cleanup_passage_ struct Passage *passage = NULL;

        assert_int_equal(passage_new(order, 1, 10, &passage), 0);
        assert_string_equal(passage->content, "```\nint a;");
        assert_string_equal(passage->text,
                "\n### sources/vault/a.md › Outer › Inner (lines 10–11)\n\n"
                "````text\n```\nint a;\n````\n\n[…]\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_chunks_of_one_section_continue_one_another),
                cmocka_unit_test(test_another_section_is_no_continuation),
                cmocka_unit_test(test_a_passage_is_cited_as_one_range),
                cmocka_unit_test(test_lines_between_chunks_end_as_theirs_do),
                cmocka_unit_test(
                        test_an_excerpt_cites_the_lines_that_it_has_and_says_that_it_is_cut),
                cmocka_unit_test(test_an_excerpt_of_code_stays_in_its_place),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
