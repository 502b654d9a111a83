/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * An analyzer, and what it makes of a text in one string: what holds for every term is checked each
 * time.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/utf8.h"
#include "lib/knowledge/analyzer.h"

static struct Analyzer *analyzer;

static inline int setup(void **state) {
        (void) state;
        return analyzer_new(&analyzer);
}

static inline int teardown(void **state) {
        (void) state;
        analyzer = analyzer_free(analyzer);
        return 0;
}

/* Terms with | between them. */
struct Seen {
        const char *text;
        size_t text_size;
        FILE *terms;
        size_t n;
};

static inline int see(void *userdata, const char *term, size_t size, size_t start, size_t end) {
        struct Seen *seen = userdata;

        assert_true(size > 0 && size <= TERM_SIZE_MAX);
        assert_true(start < end && end <= seen->text_size);
        for (size_t at = 0; at < size;) {
                uint32_t character;
                size_t length = utf8_decode(term + at, size - at, &character);

                assert_true(length > 0);
                at += length;
        }
        (void) fprintf(seen->terms, "%s%.*s", seen->n++ > 0 ? "|" : "", (int) size, term);
        return 0;
}

static inline char *terms_of(
        enum AnalyzerPurpose purpose, const char *text, size_t size, size_t *ret_n) {
        char *terms = NULL;
        size_t terms_size;
        struct Seen seen = { text, size, open_memstream(&terms, &terms_size), 0 };

        assert_int_equal(analyze(analyzer, purpose, text, size, see, &seen), 0);
        assert_int_equal(fclose(seen.terms), 0);
        if (ret_n)
                *ret_n = seen.n;
        return terms;
}

static inline void assert_terms_of(
        enum AnalyzerPurpose purpose, const char *text, const char *expected) {
        char *terms = terms_of(purpose, text, strlen(text), NULL);

        assert_string_equal(terms, expected);
        free(terms);
}
