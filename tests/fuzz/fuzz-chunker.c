/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * libFuzzer on the chunker: no input crashes it or hangs it, and what it promises holds for each.
 *
 *      CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined \
 *              -Db_lundef=false
 *      ninja -C build-fuzz tests/fuzz-chunker
 *      build-fuzz/tests/fuzz-chunker -max_len=65536 CORPUS_DIRECTORY
 */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/utf8.h"
#include "lib/knowledge/chunker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
        do {                                                                                       \
                if (!(condition)) {                                                                \
                        (void) fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
                        abort();                                                                   \
                }                                                                                  \
        } while (0)

static size_t count_lines(const char *from, const char *to) {
        size_t n = 0;

        for (; from < to; from++)
                if (*from == '\n' || (*from == '\r' && (from + 1 == to || from[1] != '\n')))
                        n++;
        return n;
}

static bool is_blank(const char *from, const char *to) {
        for (; from < to; from++)
                if (!strchr(" \t\r\n", *from) || *from == '\0')
                        return false;
        return true;
}

/* Headings may be left out, front matter is, and a byte order mark: none of them without these. */
static bool may_leave_out(const char *text, size_t size) {
        return memchr(text, '#', size) || memchr(text, '=', size) || memchr(text, '-', size) ||
                memchr(text, '\xef', size);
}

static void check(const char *text, size_t size, enum DocumentKind kind) {
        _cleanup_document_text_ struct DocumentText *document = NULL;
        bool complete =
                kind == DOCUMENT_TEXT ? !memchr(text, '\xef', size) : !may_leave_out(text, size);
        const char *at = text;
        size_t line = 1;

        REQUIRE(chunk_document(text, size, kind, &document) == 0);
        for (size_t i = 0; i < document->n_chunks; i++) {
                const struct ChunkText *chunk = &document->chunks[i];
                const char *end = chunk->text + chunk->size;

                REQUIRE(chunk->size > 0 && chunk->text >= at && end <= text + size);
                REQUIRE(utf8_is_valid(chunk->text, chunk->size));
                REQUIRE(!complete || is_blank(at, chunk->text));
                line += count_lines(at, chunk->text);
                REQUIRE(chunk->start_line == line);
                line += count_lines(chunk->text, end);
                REQUIRE(chunk->end_line == line);
                for (char **heading = chunk->heading_path; *heading; heading++)
                        REQUIRE(utf8_is_valid(*heading, strlen(*heading)));
                at = end;
        }
        REQUIRE(!complete || is_blank(at, text + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        /* A copy of exactly this size, so that a read behind its end is seen; NULL is no text. */
        size = utf8_valid_prefix((const char *) data, size);
        char *text = malloc(size > 0 ? size : 1);

        REQUIRE(text);
        memcpy(text, data, size);
        check(text, size, DOCUMENT_MARKDOWN);
        check(text, size, DOCUMENT_TEXT);
        free(text);
        return 0;
}
