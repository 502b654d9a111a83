/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a document is made of before it is cut into chunks: its blocks in document order, containers
 * before what they contain. A list of blocks covers one part of a document, as documents of any
 * size are read part by part (markdown.h, plain-text.h) and packed on the way (chunker.c).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"

enum BlockKind {
        BLOCK_HEADING,   /* of a section: at the top level, not inside a quote or a list */
        BLOCK_CODE,      /* never split; <pre> and its like count as code */
        BLOCK_HTML,      /* split at line ends, but not inside a table row */
        BLOCK_PARAGRAPH, /* and any other leaf: split at line ends */
        BLOCK_CONTAINER, /* quote, list, list item: split between its blocks */
};

/* Offsets are bytes from the start of the part. */
struct Block {
        enum BlockKind kind;
        unsigned level; /* of a heading, 1 to 6 */
        unsigned depth; /* of nesting, 0 at the top */
        size_t start;   /* of its first line */
        size_t own_end; /* behind the last line of a heading or of code */
        size_t end;     /* where the next block that is not inside it starts: with what follows it,
                         * be it blank or a link definition */
        size_t next;    /* index of that block */
        char *heading;  /* plain text of a heading on one line, may be "" */
        bool is_plain;  /* that is all that the heading says: no target of a link, nothing cut */
};

struct BlockList {
        struct Block *blocks;
        size_t n;
        size_t allocated;
};

/* Appends a zeroed block; -ENOMEM. Valid until the next call. */
int block_list_add(struct BlockList *list, struct Block **ret_block);
/* Drops the blocks from index `n` on. */
void block_list_truncate(struct BlockList *list, size_t n);
/* Sets `end` and `next` of all and bounds `own_end`, once the list is complete. `size` is that of
 * the part. */
void block_list_close(struct BlockList *list, size_t size);
void block_list_clear(struct BlockList *list);
#define _cleanup_block_list_ _cleanup_(block_list_clear)

/* Lines as CommonMark has them: ended by LF, CR LF or CR. */

/* Bytes of the first line of `text`, its end included. */
size_t line_size(const char *text, size_t size);
/* The same without its end. */
size_t line_content_size(const char *text, size_t size);
/* Nothing but spaces and tabs. */
bool line_is_blank(const char *text, size_t size);
/* As many whole lines as fit into `max` bytes, at least one. */
size_t whole_lines_size(const char *text, size_t size, size_t max);
