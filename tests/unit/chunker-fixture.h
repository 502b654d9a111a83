/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Chunking as the tests of it call it: what holds for every document is checked each time.
 */

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/utf8.h"
#include "lib/knowledge/chunker.h"

/* Line ends in [from, to): LF, CR LF or CR. */
static inline size_t count_lines(const char *from, const char *to) {
        size_t n = 0;

        for (; from < to; from++)
                if (*from == '\n' || (*from == '\r' && (from + 1 == to || from[1] != '\n')))
                        n++;
        return n;
}

static inline bool is_of_word(char c) {
        return isalnum((unsigned char) c) || (unsigned char) c >= 0x80;
}

/* What is in no chunk says nothing that the path of the next one does not. */
static inline void check_left_out(const char *from, const char *to, char *const *path) {
        while (from < to) {
                size_t size = 0;
                bool found = false;

                while (from + size < to && is_of_word(from[size]))
                        size++;
                for (char *const *heading = path; size > 0 && !found && *heading; heading++)
                        found = memmem(*heading, strlen(*heading), from, size) != NULL;
                assert_true(size == 0 || found);
                from += size + 1;
        }
}

/* Whether there may be front matter or a byte order mark, which are in no chunk. */
static inline bool has_more_than_text(const char *text, size_t size) {
        return size >= 3 && (memcmp(text, "---", 3) == 0 || memcmp(text, "\xef\xbb\xbf", 3) == 0);
}

/* What holds for every document: chunks lie in the text in order, without overlap, as whole
 * characters, and where their lines say; and nothing is lost between them. */
static inline void check_chunks(
        const char *text, size_t size, const struct DocumentText *document) {
        const char *at = text;
        static char *const no_path[] = { NULL };
        bool known = !has_more_than_text(text, size);
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
                if (i > 0 || known)
                        check_left_out(at, chunk->text, chunk->heading_path);
                line += count_lines(at, chunk->text);
                assert_int_equal(chunk->start_line, line);
                line += count_lines(chunk->text, end);
                assert_int_equal(chunk->end_line, line);
                at = end;
        }
        if (document->n_chunks > 0 || known)
                check_left_out(at, text + size, no_path);
}

static inline struct DocumentText *chunk_bytes(
        const char *text, size_t size, enum DocumentKind kind) {
        struct DocumentText *document = NULL;

        assert_int_equal(chunk_document(text, size, kind, &document), 0);
        check_chunks(text, size, document);
        return document;
}

/* The same text over and over. */
static inline char *repeat(const char *text, size_t times) {
        size_t size = strlen(text);
        char *result = malloc(size * times + 1);

        assert_non_null(result);
        for (size_t i = 0; i < times; i++)
                memcpy(result + i * size, text, size);
        result[size * times] = '\0';
        return result;
}
