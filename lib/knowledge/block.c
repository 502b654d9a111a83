/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/block.h"

#include <errno.h>
#include <string.h>

int block_list_add(struct BlockList *list, struct Block **ret_block) {
        if (list->n == list->allocated) {
                size_t allocated = list->allocated > 0 ? list->allocated * 2 : 64;
                struct Block *blocks = reallocarray(list->blocks, allocated, sizeof(struct Block));
                if (!blocks)
                        return -ENOMEM;
                list->blocks = blocks;
                list->allocated = allocated;
        }
        list->blocks[list->n] = (struct Block){ 0 };
        *ret_block = &list->blocks[list->n++];
        return 0;
}

void block_list_truncate(struct BlockList *list, size_t n) {
        while (list->n > n)
                free(list->blocks[--list->n].heading);
}

void block_list_close(struct BlockList *list, size_t size) {
        for (size_t i = list->n; i-- > 0;) {
                struct Block *block = &list->blocks[i];
                size_t next = i + 1;

                while (next < list->n && list->blocks[next].depth > block->depth)
                        next = list->blocks[next].next;
                block->next = next;
                block->end = next < list->n ? list->blocks[next].start : size;
                if (block->own_end > block->end)
                        block->own_end = block->end;
        }
}

void block_list_clear(struct BlockList *list) {
        block_list_truncate(list, 0);
        free(list->blocks);
        *list = (struct BlockList){ 0 };
}

/* Piece by piece, as a file may hold one kind of line end only: looking for the other would go to
 * its end each time. */
size_t line_content_size(const char *text, size_t size) {
        enum {
                PIECE = 256
        };

        for (size_t at = 0; at < size; at += PIECE) {
                size_t n = size - at < PIECE ? size - at : PIECE;
                const char *lf = memchr(text + at, '\n', n);
                const char *cr;

                if (lf)
                        n = (size_t) (lf - text) - at;
                cr = memchr(text + at, '\r', n);
                if (cr)
                        return (size_t) (cr - text);
                if (lf)
                        return (size_t) (lf - text);
        }
        return size;
}

size_t line_size(const char *text, size_t size) {
        size_t n = line_content_size(text, size);

        if (n == size)
                return n;
        return n + 1 < size && text[n] == '\r' && text[n + 1] == '\n' ? n + 2 : n + 1;
}

bool line_is_blank(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (text[i] != ' ' && text[i] != '\t')
                        return false;
        return true;
}

size_t whole_lines_size(const char *text, size_t size, size_t max) {
        if (size <= max)
                return size;
        /* Behind a CR the LF may follow that belongs to it. */
        for (size_t n = max; n > 0; n--)
                if (text[n - 1] == '\n' || (text[n - 1] == '\r' && text[n] != '\n'))
                        return n;
        return line_size(text, size);
}
