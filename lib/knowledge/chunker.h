/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Markdown or plain text → chunks. Pure: no files, no database. Chunks follow the headings, do
 * not split a code block or a table row (below CHUNK_MAX), and hold the text as written.
 *
 * Each section, a heading and what follows it up to the next heading of any level, is a chunk of
 * its own; headings inside quotes and lists are text. A heading with nothing but deeper headings
 * below it has no chunk: theirs bear it in their paths; unless it says more than a path can hold,
 * as it is very long, or has the target of a link or HTML in it. Front matter is in no chunk where
 * all that it says is read: title, tags and aliases. Where it says more, is broken, or is all that
 * there is, it is text, a chunk of its own at the start. All other lines that are not blank are in
 * exactly one chunk.
 *
 * Pages are sections too: no chunk is of more than one, and "Page 12" is its heading path.
 *
 * A section longer than CHUNK_TARGET_BYTES is split, where possible, between its outermost blocks,
 * else between list items and the like, else at line ends. Lines are counted as CommonMark does:
 * they end with LF, CR LF or CR.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"

/* A section up to this many bytes is not split. What must not be split makes longer chunks. */
#define CHUNK_TARGET_BYTES 1800

/* A single line longer than this is split inside, behind a sentence, else a word, unless it is code
 * or a table row: a chunk that fits into no pack is of no use. All its chunks cite that line. */
#define CHUNK_LINE_MAX 2700

/* Code and table rows longer than this are split at line ends, a longer line inside: they would fit
 * into no pack, and be more than one wants to have in memory a thousand times. */
#define CHUNK_MAX ((size_t) 1 << 20)

/* From this many chunks on headings begin no new ones: what bounds the memory for a file of
 * nothing but headings. */
#define CHUNK_SECTIONS_MAX 50000

enum DocumentKind {
        DOCUMENT_MARKDOWN,
        DOCUMENT_TEXT,
        DOCUMENT_PAGES, /* plain text in pages, each ended by a form feed */
};

struct ChunkText {
        char **heading_path; /* NULL-terminated, outermost first; empty before the first heading;
                              * its entries are labels (label.h) */
        size_t start_line;   /* of the file, from 1, inclusive */
        size_t end_line;
        const char *text; /* points into the document; not NUL-terminated; no line end at its end */
        size_t size;      /* bytes */
};

struct DocumentText {
        char *title;    /* front matter title, else the first level-1 heading, else NULL */
        char **tags;    /* front matter, NULL-terminated, never NULL */
        char **aliases; /* front matter, NULL-terminated, never NULL */
        char *front_matter_error; /* why it, or a part of it, could not be read, or NULL */
        struct ChunkText *chunks; /* in the order of the text */
        size_t n_chunks;
};

/* `text` is valid UTF-8 and must outlive the result. -ENOMEM is the only error: broken front matter
 * is text, and says so in front_matter_error. */
int chunk_document(
        const char *text, size_t size, enum DocumentKind kind, struct DocumentText **ret_document);
struct DocumentText *document_text_free(struct DocumentText *document);
DEFINE_POINTER_CLEANUP(struct DocumentText *, document_text_free)
#define _cleanup_document_text_ _cleanup_(document_text_freep)
