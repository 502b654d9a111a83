/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Chunks that follow one another in a section → one passage under one citation. Pure.
 *
 *   ### sources/vault/a.md › Heading › Subheading (lines 3–17)
 *
 *   the text as written
 *
 * A passage whose end was cut off says so by PASSAGE_CUT in a line of its own, and cites the lines
 * up to there.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/knowledge/retrieve.h"

#define PASSAGE_CUT "[…]"

/* What our headings say behind their #, and no heading in the text of a passage may: the beginnings
 * of the citation and of those that stand around passages. */
#define PASSAGE_HEADING "sources/"
#define CONTEXT_HEADING "Context: "
#define PROMPT_HEADING  "Prompt"

struct Passage {
        const struct Chunk **chunks; /* in the order of the text; they belong to the retrieval */
        size_t n_chunks;
        const struct Chunk *best; /* the one that was retrieved first */
        uint64_t start_line;
        uint64_t end_line;
        char *content; /* the text of these lines; NUL-terminated */
        size_t content_size;
        uint64_t char_count; /* Unicode characters of content */
        bool cut;            /* content ends before the last chunk does */
        char *text;          /* the passage as it stands in a pack, with an empty line before it */
        size_t text_size;
        uint64_t characters; /* Unicode characters of text */
};

/* Whether `next` continues the section that `chunk` is of, so that there is nothing but blank lines
 * between them. Not where it starts with a heading, as that begins a section, if maybe one of the
 * same name. Not inside a line either (chunker.h): which blanks stood there is not known. */
bool passage_continues(const struct Chunk *chunk, const struct Chunk *next);

/* Each of the `n` chunks, at least one, continues the one before it; all are of one array, best
 * first. Of the last one `last_size` bytes are taken: all, or an excerpt (excerpt.h). The lines
 * between chunks are empty ones, whatever blanks they had. -ENOMEM is the only error. */
int passage_new(const struct Chunk *const *chunks, size_t n, size_t last_size,
        struct Passage **ret_passage);
struct Passage *passage_free(struct Passage *passage);
DEFINE_POINTER_CLEANUP(struct Passage *, passage_free)
#define _cleanup_passage_ _cleanup_(passage_freep)
