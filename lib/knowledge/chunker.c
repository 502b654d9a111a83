/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/chunker.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/knowledge/block.h"
#include "lib/knowledge/front-matter.h"
#include "lib/knowledge/line-split.h"
#include "lib/knowledge/markdown.h"
#include "lib/knowledge/plain-text.h"
#include "lib/knowledge/string-list.h"

#define LEVELS      6
#define TEXT_WINDOW (64u << 10)

static const char byte_order_mark[] = { '\xef', '\xbb', '\xbf' };

/* Takes the document line by line from its start to its end; what is taken becomes part of the
 * open chunk. Offsets are those of the document. */
struct Chunker {
        const char *text;
        size_t size;
        struct DocumentText *document;
        size_t allocated; /* of document->chunks */

        char *headings[LEVELS]; /* in force; NULL where a level has none */
        unsigned level;         /* of the innermost */

        size_t cursor; /* what is before it was taken */
        size_t line;   /* its line, from 1 */

        bool open;     /* there is a chunk that is not blank so far */
        bool has_body; /* it has more than its heading */
        bool is_plain; /* the heading, in force, has no more than the path */
        size_t start, start_line;
        size_t end, end_line; /* of its last line that is not blank */
};

static void chunker_clear(struct Chunker *chunker) {
        for (size_t i = 0; i < LEVELS; i++)
                free(chunker->headings[i]);
}

/* Pointers and strings in one allocation. */
static char **heading_path(const struct Chunker *chunker) {
        size_t n = 0, bytes = 0;

        for (size_t i = 0; i < LEVELS; i++)
                if (chunker->headings[i]) {
                        n++;
                        bytes += strlen(chunker->headings[i]) + 1;
                }

        char **path = malloc((n + 1) * sizeof *path + bytes);
        if (!path)
                return NULL;
        char *text = (char *) (path + n + 1);
        n = 0;
        for (size_t i = 0; i < LEVELS; i++)
                if (chunker->headings[i]) {
                        path[n++] = text;
                        text = stpcpy(text, chunker->headings[i]) + 1;
                }
        path[n] = NULL;
        return path;
}

static int reserve_chunk(struct Chunker *chunker) {
        struct DocumentText *document = chunker->document;

        if (document->n_chunks < chunker->allocated)
                return 0;
        size_t allocated = chunker->allocated > 0 ? chunker->allocated * 2 : 8;
        struct ChunkText *chunks = reallocarray(document->chunks, allocated, sizeof *chunks);
        if (!chunks)
                return -ENOMEM;
        document->chunks = chunks;
        chunker->allocated = allocated;
        return 0;
}

static void discard(struct Chunker *chunker) {
        chunker->open = false;
        chunker->has_body = false;
}

/* Ends the open chunk, if there is one. */
static int flush(struct Chunker *chunker) {
        struct DocumentText *document = chunker->document;
        int r;

        if (!chunker->open)
                return 0;
        r = reserve_chunk(chunker);
        if (r < 0)
                return r;
        char **path = heading_path(chunker);
        if (!path)
                return -ENOMEM;
        document->chunks[document->n_chunks++] = (struct ChunkText){
                .heading_path = path,
                .start_line = chunker->start_line,
                .end_line = chunker->end_line,
                .text = chunker->text + chunker->start,
                .size = chunker->end - chunker->start,
        };
        discard(chunker);
        return 0;
}

/* `size` bytes of the current line, without its end. */
static void take(struct Chunker *chunker, size_t size, bool body) {
        const char *text = chunker->text + chunker->cursor;

        if (!line_is_blank(text, size)) {
                if (!chunker->open) {
                        chunker->open = true;
                        chunker->start = chunker->cursor;
                        chunker->start_line = chunker->line;
                }
                chunker->has_body = chunker->has_body || body;
                chunker->end = chunker->cursor + size;
                chunker->end_line = chunker->line;
        }
        chunker->cursor += size;
}

static void take_line(struct Chunker *chunker, bool body) {
        const char *text = chunker->text + chunker->cursor;
        size_t left = chunker->size - chunker->cursor;
        size_t whole = line_size(text, left), content = line_content_size(text, whole);

        take(chunker, content, body);
        if (whole > content) {
                chunker->cursor += whole - content;
                chunker->line++;
        }
}

static void take_until(struct Chunker *chunker, size_t end, bool body) {
        while (chunker->cursor < end)
                take_line(chunker, body);
}

/* Whether what was taken and all up to `end` still make one chunk. */
static bool fits(const struct Chunker *chunker, size_t end) {
        size_t start = chunker->open ? chunker->start : chunker->cursor;

        return end - start <= CHUNK_TARGET_BYTES;
}

/* Makes room for what ends at `end`. A heading does not stay behind on its own. */
static int flush_unless_fits(struct Chunker *chunker, size_t end) {
        return chunker->has_body && !fits(chunker, end) ? flush(chunker) : 0;
}

/* The current line, of `size` bytes without its end, cut where sentences and words end. */
static int split_inside_line(struct Chunker *chunker, size_t size) {
        size_t end = chunker->cursor + size;
        int r;

        while (end - chunker->cursor > CHUNK_TARGET_BYTES) {
                const char *rest = chunker->text + chunker->cursor;
                size_t left = end - chunker->cursor;
                size_t cut = leading_blanks(rest, left);

                if (cut == 0) {
                        cut = cut_inside_line(rest, left, CHUNK_TARGET_BYTES);
                        r = flush_unless_fits(chunker, chunker->cursor + cut);
                        if (r < 0)
                                return r;
                        cut = without_trailing_blanks(rest, cut);
                }
                take(chunker, cut, true);
        }
        r = flush_unless_fits(chunker, end);
        if (r < 0)
                return r;
        take_line(chunker, true);
        return 0;
}

/* The current line, of what is not split before it is of no use. */
static int take_together(struct Chunker *chunker, size_t size) {
        int r = 0;

        if (size > CHUNK_MAX)
                return split_inside_line(chunker, size);
        if (chunker->open && chunker->cursor + size - chunker->start > CHUNK_MAX)
                r = flush(chunker);
        take_line(chunker, true);
        return r;
}

/* Where text may be split, as it is read line by line. */
struct Seams {
        bool html;
        bool in_table;   /* of Markdown */
        size_t together; /* up to here no split: a table's head and its first row */
        size_t rows;     /* of HTML tables, that are open */
};

/* A table begins with the row above its delimiter row and ends with the paragraph. */
static void look_for_table(struct Seams *seams, const char *line, size_t whole, size_t left) {
        size_t next = line_content_size(line + whole, left - whole);

        if (line_is_blank(line, line_content_size(line, whole)))
                seams->in_table = false;
        else if (!seams->in_table && is_table_delimiter_row(line + whole, next)) {
                size_t head = whole + line_size(line + whole, left - whole);

                seams->in_table = true;
                seams->together = head + line_size(line + head, left - head);
        }
}

static int split_line(struct Chunker *chunker, struct Seams *seams, size_t end) {
        const char *line = chunker->text + chunker->cursor;
        size_t left = end - chunker->cursor;
        size_t whole = line_size(line, left), content = line_content_size(line, whole);
        struct HtmlRows rows = { 0 };
        bool in_head = seams->together > 0;
        int r;

        if (seams->html)
                rows = html_rows(line, content);
        else if (!in_head)
                look_for_table(seams, line, whole, left);

        if (!in_head && seams->rows == 0) {
                size_t unit = seams->together > 0 ? seams->together : content;
                r = flush_unless_fits(chunker, chunker->cursor + unit);
                if (r < 0)
                        return r;
        }
        seams->together -= whole < seams->together ? whole : seams->together;
        seams->rows += rows.opened;
        bool in_row = seams->in_table || seams->rows > 0;
        seams->rows -= rows.closed < seams->rows ? rows.closed : seams->rows;

        if (!in_row && content > CHUNK_LINE_MAX)
                return split_inside_line(chunker, content);
        return take_together(chunker, content);
}

/* Text up to `end`, split at line ends. */
static int split_lines(struct Chunker *chunker, size_t end, bool html) {
        struct Seams seams = { .html = html };

        while (chunker->cursor < end) {
                int r = split_line(chunker, &seams, end);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int begin_section(struct Chunker *chunker, struct Block *heading) {
        struct DocumentText *document = chunker->document;
        int r;

        /* Nothing but a heading, and what comes is below it and has it in its path. */
        if (!chunker->has_body && chunker->is_plain && heading->level > chunker->level)
                discard(chunker);
        r = flush(chunker);
        if (r < 0)
                return r;

        for (size_t i = heading->level - 1; i < LEVELS; i++) {
                free(chunker->headings[i]);
                chunker->headings[i] = NULL;
        }
        if (*heading->heading)
                chunker->headings[heading->level - 1] = STEAL(heading->heading);
        chunker->level = heading->level;
        chunker->is_plain = heading->is_plain;
        if (heading->level == 1 && !document->title && chunker->headings[0]) {
                document->title = strdup(chunker->headings[0]);
                if (!document->title)
                        return -ENOMEM;
        }
        return 0;
}

/* A block without blocks in it that is too large for any chunk of the usual size. */
static int pack_large_leaf(struct Chunker *chunker, const struct Block *block, size_t base) {
        int r;

        if (block->kind == BLOCK_CODE) {
                r = flush_unless_fits(chunker, base + block->own_end);
                while (r >= 0 && chunker->cursor < base + block->own_end)
                        r = take_together(chunker,
                                line_content_size(chunker->text + chunker->cursor,
                                        base + block->own_end - chunker->cursor));
                if (r < 0)
                        return r;
        }
        return split_lines(chunker, base + block->end, block->kind == BLOCK_HTML);
}

/* Each block goes where it fits: into the open chunk, else into a new one, else in pieces. `base`
 * is where the part of these blocks starts. */
static int pack(struct Chunker *chunker, struct BlockList *blocks, size_t base) {
        size_t i = 0;
        int r;

        while (i < blocks->n) {
                struct Block *block = &blocks->blocks[i];
                size_t end = base + block->end;

                if (block->kind == BLOCK_HEADING &&
                        chunker->document->n_chunks < CHUNK_SECTIONS_MAX) {
                        r = begin_section(chunker, block);
                        if (r < 0)
                                return r;
                        /* One that is longer is split like any other line. */
                        if (block->own_end - block->start <= CHUNK_LINE_MAX)
                                take_until(chunker, base + block->own_end, false);
                        r = split_lines(chunker, end, false);
                } else if (fits(chunker, end)) {
                        take_until(chunker, end, true);
                        r = 0;
                } else if (block->end - block->start <= CHUNK_TARGET_BYTES) {
                        r = flush_unless_fits(chunker, end);
                        take_until(chunker, end, true);
                } else if (block->next > i + 1) {
                        i++;
                        continue;
                } else
                        r = pack_large_leaf(chunker, block, base);
                if (r < 0)
                        return r;
                i = block->next;
        }
        return 0;
}

static int chunk_body(struct Chunker *chunker, enum DocumentKind kind) {
        int r;

        while (chunker->cursor < chunker->size) {
                _cleanup_block_list_ struct BlockList blocks = { 0 };
                const char *text = chunker->text + chunker->cursor;
                size_t base = chunker->cursor, left = chunker->size - base, used;

                if (kind == DOCUMENT_MARKDOWN)
                        r = markdown_blocks(text, left, MARKDOWN_WINDOW, &blocks, &used);
                else
                        r = plain_text_blocks(text, left, TEXT_WINDOW, false, &blocks, &used);
                if (r < 0)
                        return r;

                /* What no block covers: link definitions. */
                r = split_lines(
                        chunker, base + (blocks.n > 0 ? blocks.blocks[0].start : used), false);
                if (r < 0)
                        return r;
                r = pack(chunker, &blocks, base);
                if (r < 0)
                        return r;
        }
        return flush(chunker);
}

static int begin_page(struct Chunker *chunker, size_t page) {
        char *label;

        if (asprintf(&label, "Page %zu", page) < 0)
                return -ENOMEM;
        free(chunker->headings[0]);
        chunker->headings[0] = label;
        return 0;
}

/* A form feed is in no page, and ends no line. */
static int chunk_pages(struct Chunker *chunker) {
        const size_t size = chunker->size;

        for (size_t page = 1; chunker->cursor < size; page++) {
                const char *text = chunker->text + chunker->cursor;
                const char *end = NULL;
                int r;

                if (chunker->document->n_chunks < CHUNK_SECTIONS_MAX) {
                        end = memchr(text, '\f', size - chunker->cursor);
                        r = begin_page(chunker, page);
                        if (r < 0)
                                return r;
                }
                chunker->size = end ? (size_t) (end - chunker->text) : size;
                r = chunk_body(chunker, DOCUMENT_TEXT);
                if (r < 0)
                        return r;
                chunker->cursor += end != NULL;
                chunker->size = size;
        }
        return 0;
}

static int chunk_lines(struct Chunker *chunker, size_t end) {
        int r = split_lines(chunker, end, false);

        return r < 0 ? r : flush(chunker);
}

/* *ret_size of it are in no chunk. */
static int take_front_matter(struct Chunker *chunker, enum DocumentKind kind, size_t *ret_size) {
        _cleanup_front_matter_ struct FrontMatter *front_matter = NULL;
        struct DocumentText *document = chunker->document;
        const char *text = chunker->text + chunker->cursor;
        size_t size = 0;
        int r;

        if (kind == DOCUMENT_MARKDOWN)
                size = front_matter_size(text, chunker->size - chunker->cursor);
        r = front_matter_read(text, size, &front_matter);
        if (r < 0)
                return r;
        document->title = STEAL(front_matter->title);
        document->tags = STEAL(front_matter->tags);
        document->aliases = STEAL(front_matter->aliases);
        document->front_matter_error = STEAL(front_matter->error);

        /* So much is rather a document that starts with a line. */
        if (size > FRONT_MATTER_MAX)
                return 0;
        if (document->front_matter_error || front_matter->says_more)
                return chunk_lines(chunker, chunker->cursor + size);
        take_until(chunker, chunker->cursor + size, false);
        discard(chunker);
        *ret_size = size;
        return 0;
}

int chunk_document(
        const char *text, size_t size, enum DocumentKind kind, struct DocumentText **ret_document) {
        _cleanup_document_text_ struct DocumentText *document = NULL;
        _cleanup_(chunker_clear) struct Chunker chunker = { .text = text, .size = size, .line = 1 };
        size_t start, front_matter = 0;
        int r;

        document = calloc(1, sizeof *document);
        if (!document)
                return -ENOMEM;
        chunker.document = document;

        if (size >= sizeof byte_order_mark &&
                memcmp(text, byte_order_mark, sizeof byte_order_mark) == 0)
                chunker.cursor = sizeof byte_order_mark;
        start = chunker.cursor;
        r = take_front_matter(&chunker, kind, &front_matter);
        if (r < 0)
                return r;
        r = kind == DOCUMENT_PAGES ? chunk_pages(&chunker) : chunk_body(&chunker, kind);
        if (r >= 0 && document->n_chunks == 0 && front_matter > 0) {
                chunker.cursor = start;
                chunker.line = 1;
                r = chunk_lines(&chunker, start + front_matter);
        }
        if (r < 0)
                return r;
        *ret_document = STEAL(document);
        return 0;
}

struct DocumentText *document_text_free(struct DocumentText *document) {
        if (!document)
                return NULL;
        for (size_t i = 0; i < document->n_chunks; i++)
                free(document->chunks[i].heading_path);
        free(document->chunks);
        free(document->title);
        string_array_free(document->tags);
        string_array_free(document->aliases);
        free(document->front_matter_error);
        free(document);
        return NULL;
}
