/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One pack, byte by byte: tests/unit/pack holds the documents, and the pack that is made of what
 * was found in them.
 */

#include <fcntl.h>

#include "chunker-fixture.h"
#include "lib/base/file-io.h"
#include "lib/knowledge/pack.h"

#define DIRECTORY TESTS_SOURCE "/unit/pack/"

struct Document {
        const char *file, *source_file;
        enum DocumentKind kind;
        char *text;
        struct DocumentText *chunks;
};

static char *read_text(const char *path, size_t *ret_size) {
        char *text = NULL;

        assert_int_equal(read_file_at(AT_FDCWD, path, 1 << 20, &text, ret_size), 0);
        return text;
}

static void document_read(struct Document *document) {
        _cleanup_free_ char *path = NULL;
        size_t size;

        assert_true(asprintf(&path, DIRECTORY "%s", document->file) > 0);
        document->text = read_text(path, &size);
        document->chunks = chunk_bytes(document->text, size, document->kind);
}

static void document_done(struct Document *document) {
        document_text_free(document->chunks);
        free(document->text);
}

/* What was found, best first. */
static const struct {
        size_t document, ordinal;
} hits[] = {
        { 0, 2 }, /* the end of the procedure */
        { 0, 3 }, /* cleaning */
        { 1, 0 }, /* the same in a copy */
        { 0, 1 }, /* the beginning of the procedure: joins the first */
        { 2, 0 }, /* the log */
        { 0, 0 }, /* alignment */
};
#define HITS (sizeof hits / sizeof hits[0])

static void find(const struct Document *documents, struct Chunk *chunks) {
        for (size_t i = 0; i < HITS; i++) {
                const struct Document *document = &documents[hits[i].document];
                const struct ChunkText *text = &document->chunks->chunks[hits[i].ordinal];

                assert_true(hits[i].ordinal < document->chunks->n_chunks);
                chunks[i] = (struct Chunk){ .id = (int64_t) i + 1,
                        .document_id = (int64_t) hits[i].document,
                        .ordinal = hits[i].ordinal,
                        .source_file = (char *) (uintptr_t) document->source_file,
                        .heading_path = text->heading_path,
                        .start_line = text->start_line,
                        .end_line = text->end_line,
                        .content = (char *) (uintptr_t) text->text, /* packs only read */
                        .content_size = text->size,
                        .char_count = utf8_count(text->text, text->size) };
        }
}

static void expect_pack(const struct Retrieval *retrieval, uint64_t budget, const char *file) {
        _cleanup_free_ char *path = NULL, *expected = NULL;
        _cleanup_pack_ struct Pack *pack = NULL;
        size_t size;

        assert_true(asprintf(&path, DIRECTORY "%s", file) > 0);
        expected = read_text(path, &size);
        assert_int_equal(pack_build(retrieval, "p05-interferometer", "How?", budget, &pack), 0);
        assert_string_equal(pack->formatted_context, expected);
}

static void test_packs_are_as_they_are_written(void **state) {
        (void) state;
        struct Document documents[] = {
                { .file = "alignment.md", .source_file = "sources/vault/p05/alignment.md" },
                { .file = "copy.md", .source_file = "sources/drive/p05/copy.md" },
                { .file = "log.txt",
                        .source_file = "sources/drive/p05/log.txt",
                        .kind = DOCUMENT_TEXT },
        };
        struct Chunk chunks[HITS];
        struct Retrieval retrieval = { .mode = "lexical", .chunks = chunks, .n_chunks = HITS };

        for (size_t i = 0; i < 3; i++)
                document_read(&documents[i]);
        find(documents, chunks);
        expect_pack(&retrieval, 20000, "pack-of-all.md");
        expect_pack(&retrieval, 1800, "pack-with-excerpt.md");
        for (size_t i = 0; i < 3; i++)
                document_done(&documents[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_packs_are_as_they_are_written),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
