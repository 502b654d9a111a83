/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/plain-text.h"

#include <string.h>

#define FENCE_MIN 3

struct Fence {
        char character;
        size_t length; /* 0: not a fence */
        bool bare;     /* nothing behind it: may close */
};

/* Looks behind the markers of quotes and lists, as a fence may stand inside them. */
static struct Fence fence_at(const char *line, size_t size) {
        struct Fence fence = { 0 };
        size_t i = 0;

        while (i < size && strchr(" \t>*+-.)0123456789", line[i]) && line[i] != '\0')
                i++;
        if (i == size || (line[i] != '`' && line[i] != '~'))
                return fence;

        size_t length = 0;
        while (i + length < size && line[i + length] == line[i])
                length++;
        if (length < FENCE_MIN ||
                (line[i] == '`' && memchr(line + i + length, '`', size - i - length)))
                return fence;
        fence.character = line[i];
        fence.length = length;
        fence.bare = line_is_blank(line + i + length, size - i - length);
        return fence;
}

/* Where the code block ends whose opening fence is the first line of `text`. */
static size_t fenced_size(const char *text, size_t size, struct Fence opening) {
        size_t at = line_size(text, size);

        while (at < size) {
                struct Fence fence = fence_at(text + at, line_content_size(text + at, size - at));
                at += line_size(text + at, size - at);
                if (fence.bare && fence.character == opening.character &&
                        fence.length >= opening.length)
                        break;
        }
        return at;
}

int plain_text_blocks(const char *text, size_t size, size_t window, bool fences,
        struct BlockList *blocks, size_t *ret_used) {
        size_t part = whole_lines_size(text, size, window);
        bool in_paragraph = false;
        struct Block *block;
        size_t at = 0;
        int r;

        while (at < part) {
                size_t content = line_content_size(text + at, size - at);
                struct Fence fence = fences ? fence_at(text + at, content) : (struct Fence){ 0 };

                if (fence.length > 0) {
                        r = block_list_add(blocks, &block);
                        if (r < 0)
                                return r;
                        block->kind = BLOCK_CODE;
                        block->start = at;
                        at += fenced_size(text + at, size - at, fence);
                        block->own_end = at;
                        in_paragraph = false;
                        continue;
                }
                if (line_is_blank(text + at, content))
                        in_paragraph = false;
                else if (!in_paragraph) {
                        r = block_list_add(blocks, &block);
                        if (r < 0)
                                return r;
                        block->kind = BLOCK_PARAGRAPH;
                        block->start = at;
                        in_paragraph = true;
                }
                at += line_size(text + at, size - at);
        }
        block_list_close(blocks, at);
        *ret_used = at;
        return 0;
}
