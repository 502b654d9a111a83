/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/markdown.h"

#include <cmark.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/knowledge/cmark-memory.h"
#include "lib/knowledge/label.h"
#include "lib/knowledge/plain-text.h"

#define MEMORY_MAX  (24u << 20)
#define NESTING_MAX 64                 /* container markers at the start of one line */
#define FED_MAX     ((size_t) 4 << 10) /* bytes of one line */

/* Stands in for what cmark must not see. It has no meaning anywhere in CommonMark. */
#define MASK '\x01'

/* cmark 0.30 walks from every delimiter up to the root, and takes time by the square of their
 * number for images whose brackets do not match. Neither can be met by people who write: nesting
 * ends at a depth, and `![` opens a link. Blocks are the same. */
static void mask_line(char *line, size_t size) {
        unsigned markers = 0;

        for (size_t i = 0; i < size; i++) {
                char c = line[i];
                bool ends = i + 1 == size || line[i + 1] == ' ' || line[i + 1] == '\t';

                if (c == ' ' || c == '\t' || (c >= '0' && c <= '9'))
                        continue;
                if (c != '>' && !(strchr("*+-.)", c) && ends))
                        break;
                if (++markers > NESTING_MAX)
                        line[i] = MASK;
        }
        for (char *image = line; (image = memmem(image, size - (size_t) (image - line), "![", 2));
                image += 2)
                if (image == line || image[-1] != '<')
                        *image = MASK;
}

/* What matters to blocks stands at the start of a line, or where it is HTML at its end: of a line
 * that is longer than FED_MAX the middle is left out. */
static size_t copy_line(const char *line, size_t size, char ret_copy[FED_MAX]) {
        size_t head, tail;

        if (size <= FED_MAX) {
                memcpy(ret_copy, line, size);
                return size;
        }
        head = FED_MAX / 2;
        tail = size - FED_MAX / 2;
        /* Whole characters, as headings are taken from it. */
        while (head > 0 && ((unsigned char) line[head] & 0xc0) == 0x80)
                head--;
        while (tail < size && ((unsigned char) line[tail] & 0xc0) == 0x80)
                tail++;
        memcpy(ret_copy, line, head);
        memcpy(ret_copy + head, line + tail, size - tail);
        return head + size - tail;
}

static void feed_masked(cmark_parser *parser, const char *text, size_t size) {
        char copy[FED_MAX];

        for (size_t at = 0; at < size;) {
                size_t whole = line_size(text + at, size - at);
                size_t content = line_content_size(text + at, whole);
                size_t n = copy_line(text + at, content, copy);

                mask_line(copy, n);
                cmark_parser_feed(parser, copy, n);
                cmark_parser_feed(parser, text + at + content, whole - content);
                at += whole;
        }
}

/* Turns line numbers, which must come in ascending order, into offsets. */
struct LineReader {
        const char *text;
        size_t size;
        size_t offset; /* of .line */
        int line;
};

static size_t offset_of_line(struct LineReader *reader, int line) {
        while (reader->line < line && reader->offset < reader->size) {
                reader->offset +=
                        line_size(reader->text + reader->offset, reader->size - reader->offset);
                reader->line++;
        }
        return reader->offset;
}

static void append_unmasked(struct Label *label, const char *text) {
        while (*text) {
                size_t n = strcspn(text, (const char[]){ MASK, '\0' });
                label_append(label, text, n);
                text += n + strspn(text + n, (const char[]){ MASK, '\0' });
        }
}

static char *plain_heading(cmark_node *heading, cmark_iter *iterator) {
        struct Label label = { .size = 0 };

        cmark_iter_reset(iterator, heading, CMARK_EVENT_ENTER);
        while (!label.full) {
                cmark_event_type event = cmark_iter_next(iterator);
                cmark_node *node = cmark_iter_get_node(iterator);

                if (event == CMARK_EVENT_DONE || node == heading)
                        break;
                switch (cmark_node_get_type(node)) {
                case CMARK_NODE_TEXT:
                case CMARK_NODE_CODE:
                        append_unmasked(&label, cmark_node_get_literal(node));
                        break;
                case CMARK_NODE_SOFTBREAK:
                case CMARK_NODE_LINEBREAK:
                        label_append(&label, " ", 1);
                        break;
                default:
                        break;
                }
        }
        return label_finish(&label);
}

/* Whether a heading as written says no more than its label: all is there but blanks and markers. An
 * entity counts as more; that does no harm. */
static bool is_plain_heading(const char *text, size_t size, const char *label) {
        for (size_t i = 0; i < size; i++) {
                bool blank = (unsigned char) text[i] <= ' ';

                while (*label == ' ')
                        label++;
                if (text[i] == *label && !blank)
                        label++;
                else if (!blank && !strchr("#=-*_`\\", text[i]))
                        return false;
        }
        return true;
}

/* HTML blocks that go on over blank lines and hold text as it stands (CommonMark 4.6, start
 * condition 1). */
static bool is_verbatim_html(const char *html) {
        static const char *const tags[] = { "<pre", "<script", "<style", "<textarea" };

        html += strspn(html, " ");
        for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
                if (strncasecmp(html, tags[i], strlen(tags[i])) == 0)
                        return true;
        return false;
}

static enum BlockKind kind_of(cmark_node *node, unsigned depth) {
        switch (cmark_node_get_type(node)) {
        case CMARK_NODE_HEADING:
                return depth == 0 ? BLOCK_HEADING : BLOCK_PARAGRAPH;
        case CMARK_NODE_CODE_BLOCK:
                return BLOCK_CODE;
        case CMARK_NODE_HTML_BLOCK:
                return is_verbatim_html(cmark_node_get_literal(node)) ? BLOCK_CODE : BLOCK_HTML;
        case CMARK_NODE_BLOCK_QUOTE:
        case CMARK_NODE_LIST:
        case CMARK_NODE_ITEM:
                return BLOCK_CONTAINER;
        default:
                return BLOCK_PARAGRAPH;
        }
}

struct Parse {
        const char *text;
        size_t size;
        struct BlockList *blocks;
        size_t last; /* offset of the last line at which parsing could start afresh */
};

static int add_block(struct Parse *parse, cmark_node *node, unsigned depth,
        struct LineReader *lines, cmark_iter *iterator) {
        cmark_node_type type = cmark_node_get_type(node);
        struct Block *block;
        int r;

        r = block_list_add(parse->blocks, &block);
        if (r < 0)
                return r;
        block->kind = kind_of(node, depth);
        block->depth = depth;
        block->start = offset_of_line(lines, cmark_node_get_start_line(node));
        /* Where cmark says that HTML ends cannot be relied on (it is a line short where the end
         * condition is met). Code and underlined headings may be said to end one line late:
         * block_list_close() cuts that. */
        block->own_end = SIZE_MAX;
        if (type == CMARK_NODE_HEADING || type == CMARK_NODE_CODE_BLOCK) {
                struct LineReader ahead = *lines;
                block->own_end = offset_of_line(&ahead, cmark_node_get_end_line(node) + 1);
        }
        if (block->kind == BLOCK_HEADING) {
                block->level = (unsigned) cmark_node_get_heading_level(node);
                block->heading = plain_heading(node, iterator);
                if (!block->heading)
                        return -ENOMEM;
        }
        return 0;
}

/* All blocks, without recursion: nesting is as deep as its author likes. */
static int add_blocks(struct Parse *parse, cmark_node *document, cmark_iter *iterator) {
        struct LineReader lines = { parse->text, parse->size, 0, 1 };
        cmark_node *node = cmark_node_first_child(document);
        unsigned depth = 0;

        while (node) {
                cmark_node *child = cmark_node_first_child(node);
                int r = add_block(parse, node, depth, &lines, iterator);
                if (r < 0)
                        return r;

                if (child && kind_of(node, depth) == BLOCK_CONTAINER) {
                        node = child;
                        depth++;
                        continue;
                }
                while (node != document && !cmark_node_next(node)) {
                        node = cmark_node_parent(node);
                        depth--;
                }
                node = node == document ? NULL : cmark_node_next(node);
        }
        return 0;
}

/* Quotes bear their marker on each line and list items start with theirs, so what starts last in
 * them can be read on its own; inside an item that ends. */
static int last_fresh_line(cmark_node *document) {
        cmark_node *node = cmark_node_last_child(document);
        int line = 1;

        while (node) {
                cmark_node_type type = cmark_node_get_type(node);

                line = cmark_node_get_start_line(node);
                if (type != CMARK_NODE_BLOCK_QUOTE && type != CMARK_NODE_LIST)
                        break;
                node = cmark_node_last_child(node);
        }
        return line;
}

static int parse_body(cmark_mem *memory, void *userdata) {
        struct Parse *parse = userdata;
        cmark_parser *parser = cmark_parser_new_with_mem(CMARK_OPT_DEFAULT, memory);

        feed_masked(parser, parse->text, parse->size);
        cmark_node *document = cmark_parser_finish(parser);

        struct LineReader lines = { parse->text, parse->size, 0, 1 };
        parse->last = offset_of_line(&lines, last_fresh_line(document));
        return add_blocks(parse, document, cmark_iter_new(document));
}

/* -E2BIG when the memory for it is not granted; `blocks` is empty on failure. */
static int parse_part(const char *text, size_t size, struct BlockList *blocks, size_t *ret_last) {
        struct Parse parse = { text, size, blocks, 0 };
        int r;

        r = cmark_memory_run(MEMORY_MAX, parse_body, &parse);
        if (r < 0) {
                block_list_truncate(blocks, 0);
                return r;
        }
        *ret_last = parse.last;
        return 0;
}

static void mark_plain_headings(struct BlockList *blocks, const char *text) {
        for (size_t i = 0; i < blocks->n; i++) {
                struct Block *block = &blocks->blocks[i];

                if (block->kind == BLOCK_HEADING)
                        block->is_plain = is_plain_heading(
                                text + block->start, block->own_end - block->start, block->heading);
        }
}

static void keep_before(struct BlockList *blocks, size_t offset) {
        size_t n = blocks->n;

        while (n > 0 && blocks->blocks[n - 1].start >= offset)
                n--;
        block_list_truncate(blocks, n);
}

int markdown_blocks(
        const char *text, size_t size, size_t window, struct BlockList *blocks, size_t *ret_used) {
        size_t single = 0; /* so many bytes are known to be one block */

        for (;;) {
                size_t part = whole_lines_size(text, size, window);
                size_t last;
                int r;

                r = parse_part(text, part, blocks, &last);
                if (r == -E2BIG)
                        return plain_text_blocks(text, single > 0 ? single : part,
                                single > 0 ? single : part, true, blocks, ret_used);
                if (r < 0)
                        return r;

                if (part < size && last == 0) {
                        single = part;
                        window *= 2;
                        block_list_truncate(blocks, 0);
                        continue;
                }
                *ret_used = part < size ? last : part;
                keep_before(blocks, *ret_used);
                block_list_close(blocks, *ret_used);
                mark_plain_headings(blocks, text);
                return 0;
        }
}
