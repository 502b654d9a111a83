/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/markdown.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* How much longer than ordinary text of the same size wild text may take. It takes up to 6 times as
 * long; what cmark does in the square of the size would take 50 times as long and more. */
#define SLOWER_MAX 20

/* All leaf blocks of the document, one line each, read with windows of the given size. Containers
 * are left out: windows cut them. */
static char *leaves(const char *text, size_t size, size_t window) {
        char *summary = NULL;
        size_t summary_size = 0, base = 0;
        FILE *f = open_memstream(&summary, &summary_size);

        assert_non_null(f);
        while (base < size) {
                _cleanup_block_list_ struct BlockList list = { 0 };
                size_t used = 0;

                assert_int_equal(
                        markdown_blocks(text + base, size - base, window, &list, &used), 0);
                assert_true(used > 0 && used <= size - base);
                for (size_t i = 0; i < list.n; i++) {
                        const struct Block *block = &list.blocks[i];

                        assert_true(block->start < block->end && block->end <= used);
                        assert_true(block->own_end <= block->end);
                        assert_true(block->next > i && block->next <= list.n);
                        if (block->kind == BLOCK_CONTAINER)
                                continue;
                        (void) fprintf(f, "%d %u %u %zu %s\n", (int) block->kind, block->level,
                                block->depth, base + block->start,
                                block->heading ? block->heading : "");
                }
                base += used;
        }
        assert_int_equal(fclose(f), 0);
        return summary;
}

static void test_windows_do_not_change_the_blocks(void **state) {
        (void) state;
        static const char *const texts[] = {
                "# A\n\ntext\nmore\n\n```\ncode\n\n# no\n```\n\n- a\n- b\n\n  c\n\n      d\n- "
                "e\n\nf\n",
                "> a\nlazy\n> \n> - b\n>   - c\n> - d\n\n1. x\n2. y\n10. z\n\n       text\n",
                "Set\next\n===\nOther\n---\n***\n\n<div>\n*a*\n\n</div>\n<pre>\n\n# x\n</pre>\n# "
                "B\n",
                "a\n# b\nc\n- d\n> e\n***\n```\nf\n```\ng\n    h\n\n    i\n\tj\n",
                "- [ ] a\n   - b\n   - c\n    - d\n- e\n  ```\n  f\n\n  ```\n- \n\n- g\n",
                "\r\n# A\r\n\r\ntext\r\n\r\n- a\r\n- b\r\r\n# C\rtext\r",
                "![[]()\n\n> > > a\n> > b\n> c\n\n+ x\n  + y\n    + z\n\n      q\n",
        };

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                _cleanup_free_ char *whole = leaves(texts[i], strlen(texts[i]), MARKDOWN_WINDOW);

                for (size_t window = 1; window < strlen(texts[i]); window++) {
                        _cleanup_free_ char *parts = leaves(texts[i], strlen(texts[i]), window);
                        assert_string_equal(parts, whole);
                }
        }
}

static char *filled(const char *pattern, size_t size) {
        size_t n = strlen(pattern);
        char *text = malloc(size);

        assert_non_null(text);
        for (size_t i = 0; i < size; i++)
                text[i] = pattern[i % n];
        return text;
}

static double processor_seconds(const char *text, size_t size) {
        struct timespec before, after;

        assert_return_code(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), errno);
        free(leaves(text, size, MARKDOWN_WINDOW));
        assert_return_code(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after), errno);
        return (double) (after.tv_sec - before.tv_sec) +
                (double) (after.tv_nsec - before.tv_nsec) / 1e9;
}

static void read_wild(const char *text, size_t size) {
        _cleanup_free_ char *ordinary = filled("*a* [b](c) `d`\n> - ![e](f)\n", size);

        assert_true(
                processor_seconds(text, size) <= SLOWER_MAX * processor_seconds(ordinary, size));
}

static void test_wild_text_does_not_take_long(void **state) {
        (void) state;
        static const char *const patterns[] = { "[", "]", ">", "> ", "- ", "* ", "1. ", "<!--",
                "a<!--", "a <?", "a<![CDATA[", "*_", "*a_ ", "`", "a`b``c```", "[a](<b", "[a](",
                "\\", "&", "\n", "a\n", "- a\n", "# a\n", "> a\nb\n", "[a]: u\n", "```\n",
                "~~~~\n\n", "    x\n\n", "<pre>", "<div>\n", "|", "\t", "*\n\n", "> - ", "-\t",
                "1)\n" };
        enum {
                SIZE = 256 << 10
        };

        for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
                _cleanup_free_ char *text = filled(patterns[i], SIZE);
                read_wild(text, SIZE);
        }
}

/* Delimiters below many containers, and images that do not close, in cmark 0.30. */
static void test_what_takes_cmark_the_square_of_the_size_does_not_reach_it(void **state) {
        (void) state;
        static const struct {
                const char *head, *tail;
                size_t size, times;
        } cases[] = {
                { "![[]()\n", "![[]()\n", 512 << 10, 1 },
                { "- ", "*[", 128 << 10, 2 },
                { ">", "_-", 128 << 10, 2 },
                { " 1.", "\n", 128 << 10, 2 },
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                size_t size = cases[i].size, half = size / 2;
                _cleanup_free_ char *text = malloc(size * cases[i].times);

                assert_non_null(text);
                for (size_t k = 0; k < cases[i].times; k++) {
                        _cleanup_free_ char *head = filled(cases[i].head, half);
                        _cleanup_free_ char *tail = filled(cases[i].tail, half);
                        memcpy(text + k * size, head, half);
                        memcpy(text + k * size + half, tail, half);
                        memcpy(text + (k + 1) * size - 5, "\n\n#\n\n", 5);
                }
                read_wild(text, size * cases[i].times);
        }
}

/* Quotes nest to a depth, lists below them by indentation; what is inside is still read. */
static void test_deep_nesting_does_not_take_the_stack(void **state) {
        (void) state;
        enum {
                DEPTH = 1000
        };
        _cleanup_free_ char *quotes = NULL, *lists = NULL;
        size_t size = 0, n;
        FILE *f = open_memstream(&quotes, &n);

        assert_non_null(f);
        for (int depth = 1; depth <= DEPTH; depth++) {
                for (int i = 0; i < depth; i++)
                        (void) fputc('>', f);
                (void) fputs(" text\n", f);
        }
        assert_int_equal(fclose(f), 0);
        free(leaves(quotes, n, MARKDOWN_WINDOW));

        f = open_memstream(&lists, &size);
        assert_non_null(f);
        for (int depth = 0; depth < DEPTH; depth++)
                (void) fprintf(f, "%*s- item\n", depth * 2, "");
        (void) fputs("\n# After\n", f);
        assert_int_equal(fclose(f), 0);
        _cleanup_free_ char *found = leaves(lists, size, MARKDOWN_WINDOW);
        assert_non_null(strstr(found, "After"));
}

/* An item that does not fit into the memory granted: its structure is given up, but for its code.
 */
static void test_code_in_a_block_that_is_too_large_is_whole(void **state) {
        (void) state;
        _cleanup_free_ char *text = NULL;
        size_t size = 0, code = 0;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        (void) fputs("- item\n", f);
        for (int i = 0; i < 30000; i++)
                (void) fputs("  - *a* *b* *c* *d* *e*\n", f);
        (void) fputs("    ~~~\n    code\n\n    - code\n    ~~~\n\n# After\n", f);
        assert_int_equal(fclose(f), 0);

        for (size_t base = 0; base < size;) {
                _cleanup_block_list_ struct BlockList list = { 0 };
                size_t used = 0;

                assert_int_equal(
                        markdown_blocks(text + base, size - base, MARKDOWN_WINDOW, &list, &used),
                        0);
                for (size_t i = 0; i < list.n; i++)
                        if (list.blocks[i].kind == BLOCK_CODE) {
                                assert_int_equal(list.blocks[i].own_end - list.blocks[i].start,
                                        strlen("    ~~~\n    code\n\n    - code\n    ~~~\n"));
                                code++;
                        }
                base += used;
        }
        assert_int_equal(code, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_windows_do_not_change_the_blocks),
                cmocka_unit_test(test_wild_text_does_not_take_long),
                cmocka_unit_test(test_what_takes_cmark_the_square_of_the_size_does_not_reach_it),
                cmocka_unit_test(test_deep_nesting_does_not_take_the_stack),
                cmocka_unit_test(test_code_in_a_block_that_is_too_large_is_whole),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
