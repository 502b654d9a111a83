/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Titles, headings, tags: one line of plain text, bounded, as they are repeated with every chunk.
 * Runs of blanks and control characters become one space (in JSON they would be escapes, and part
 * of a word to the index); none is left at either end.
 */

#include <stdbool.h>
#include <stddef.h>

#define LABEL_MAX 240 /* bytes */

struct Label {
        char data[LABEL_MAX + 1];
        size_t size;
        bool full; /* something was cut off, behind a whole character */
};

/* `text` is valid UTF-8; a label starts zeroed. */
void label_append(struct Label *label, const char *text, size_t size);
/* A copy, maybe "" (the caller frees); NULL when memory ran out. */
char *label_finish(struct Label *label);
/* Both at once. */
char *label_new(const char *text, size_t size);
