/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Markdown or plain text → chunks. Pure: no files, no database. Chunks follow the headings, never
 * split a code block or a table row, and hold the text as written.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"

/* A section longer than this many bytes is split between blocks; a single block that may not be
 * split stays whole however long it is. */
#define CHUNK_TARGET_BYTES 1800

enum DocumentKind {
        DOCUMENT_MARKDOWN,
        DOCUMENT_TEXT,
};

struct ChunkText {
        char **heading_path; /* NULL-terminated, outermost first; empty before the first heading */
        size_t start_line;   /* of the file, from 1, inclusive */
        size_t end_line;
        const char *text; /* points into the document; not NUL-terminated */
        size_t size;      /* bytes */
};

struct DocumentText {
        char *title;    /* front matter title, else the first level-1 heading, else NULL */
        char **tags;    /* front matter, NULL-terminated */
        char **aliases; /* front matter, NULL-terminated */
        char *front_matter_error; /* why the front matter could not be read, or NULL */
        struct ChunkText *chunks;
        size_t n_chunks;
};

/* `text` is valid UTF-8 and must outlive the result. -ENOMEM is the only error: broken front matter
 * is text, and says so in front_matter_error. */
int chunk_document(
        const char *text, size_t size, enum DocumentKind kind, struct DocumentText **ret_document);
struct DocumentText *document_text_free(struct DocumentText *document);
DEFINE_POINTER_CLEANUP(struct DocumentText *, document_text_free)
#define _cleanup_document_text_ _cleanup_(document_text_freep)
