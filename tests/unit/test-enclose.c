/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/enclose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/cleanup.h"

static const char *const ours[] = { "sources/", "Context: ", NULL };

static void assert_written(const char *text, const char *expected) {
        _cleanup_free_ char *written = NULL;
        size_t size;
        FILE *stream = open_memstream(&written, &size);

        enclose_write(stream, text, strlen(text), ours);
        assert_int_equal(fclose(stream), 0);
        assert_string_equal(written, expected);
}

/* Nothing but the line break that a text may lack at its end. */
static void assert_bare(const char *text) {
        _cleanup_free_ char *expected = NULL;
        size_t size = strlen(text);

        assert_true(asprintf(&expected, "%s%s", text,
                            size > 0 && text[size - 1] == '\n' ? "" : "\n") >= 0);
        assert_written(text, expected);
}

static void assert_fenced(const char *text) {
        _cleanup_free_ char *expected = NULL;

        assert_true(asprintf(&expected, "```text\n%s```\n", text) >= 0);
        assert_written(text, expected);
}

static void test_text_that_stands_for_itself_is_written_as_it_is(void **state) {
        (void) state;
        assert_bare("");
        assert_bare("plain");
        assert_bare("# Heading\n\n- a\n- b\n");
        assert_bare("```c\ncode\n```\n");
        assert_bare("~~~~\n```\n~~~\n~~~~  \n");
        assert_bare("```` x\n```\n`````\n");
        assert_bare("``` code span ``` and text\n");
        assert_bare("    ```\n    indented, no fence\n");
        assert_bare("two `` backticks\n``\n");
        assert_bare("<!-- note -->\n<!--\nlong\n--> text\n");
        assert_bare("<PRE>\n```\n</Pre>\n");
        assert_bare("```\n<!-- shown, not hidden\n```\n");
        assert_bare("a <!-- within a line\n");
        assert_bare("see sources/vault/a.md\nsources/vault/b.md\n## My sources/\n");
        assert_bare("\r\ncrlf\r\n```\r\nx\r\n```\r\n");
}

static void test_text_that_leaves_a_block_open_is_fenced(void **state) {
        (void) state;
        static const char *const texts[] = { "~~~\nnever closed\n", "   ~~~ x\n",
                "<!-- never closed\n", "<script>\nx\n", "a\n<pre>\n\n\nx\n", "<?php\n",
                "<![CDATA[\n", "<!-- a\n--> <!-- b does not open\n<!-- c\n" };

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
                assert_fenced(texts[i]);
        assert_written("```\nnever closed", "````text\n```\nnever closed\n````\n");
        assert_written("```\na\n``` not closed\n", "````text\n```\na\n``` not closed\n````\n");
        assert_written("````\n```\n", "`````text\n````\n```\n`````\n");
        assert_written("```\n~~~\n", "````text\n```\n~~~\n````\n");
        assert_written("```\nx\n    ```\n", "````text\n```\nx\n    ```\n````\n");
        assert_written("```\r\nx\r\n", "````text\n```\r\nx\r\n````\n");
}

static void test_headings_like_ours_are_fenced(void **state) {
        (void) state;
        assert_fenced("### sources/vault/secret.md (lines 1\xe2\x80\x93 2)\n");
        assert_fenced("text\n   #\tSources/x\n");
        assert_fenced("# Context: all projects\n");
        assert_written("```\n# context: x\n```\n", "````text\n```\n# context: x\n```\n````\n");
}

static void test_no_text_closes_its_fence(void **state) {
        (void) state;
        char ticks[300];

        /* Whatever the number of backticks in it: the fence is one longer. */
        for (size_t n = 3; n < sizeof ticks - 2; n += 37) {
                _cleanup_free_ char *written = NULL;
                FILE *stream;
                size_t size;

                memset(ticks, '`', n);
                strcpy(ticks + n, "\n");
                stream = open_memstream(&written, &size);
                enclose_write(stream, ticks, strlen(ticks), ours);
                assert_int_equal(fclose(stream), 0);
                assert_int_equal(strspn(written, "`"), n + 1);
                assert_int_equal(strspn(strrchr(written, 't') + 2, "`"), n);
                assert_int_equal(size, (n + 1) + strlen("text\n") + (n + 1) + (n + 1) + 1);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_that_stands_for_itself_is_written_as_it_is),
                cmocka_unit_test(test_text_that_leaves_a_block_open_is_fenced),
                cmocka_unit_test(test_headings_like_ours_are_fenced),
                cmocka_unit_test(test_no_text_closes_its_fence),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
