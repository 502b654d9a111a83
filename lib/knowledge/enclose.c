/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/enclose.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* https://spec.commonmark.org/0.30/: §4.5 fenced code blocks; §4.6 HTML blocks, of which these do
 * not end with a blank line. */
static const struct {
        const char *start, *end;
} html_blocks[] = {
        { "<!--", "-->" },
        { "<![CDATA[", "]]>" },
        { "<?", "?>" },
        { "<pre", "</pre>" },
        { "<script", "</script>" },
        { "<style", "</style>" },
        { "<textarea", "</textarea>" },
};

struct Line {
        const char *start; /* behind up to three spaces, which Markdown does not count */
        const char *end;   /* before the line break */
};

/* False at the end of the text. */
static bool next_line(const char **text, const char *end, struct Line *ret_line) {
        const char *start = *text, *newline;

        if (start == end)
                return false;
        newline = memchr(start, '\n', (size_t) (end - start));
        *text = newline ? newline + 1 : end;
        ret_line->end = newline ? newline : end;
        if (ret_line->end > start && ret_line->end[-1] == '\r')
                ret_line->end--;
        for (int i = 0; i < 3 && start < ret_line->end && *start == ' '; i++)
                start++;
        ret_line->start = start;
        return true;
}

static bool begins_with(const struct Line *line, const char *prefix) {
        size_t size = strlen(prefix);

        return (size_t) (line->end - line->start) >= size &&
                strncasecmp(line->start, prefix, size) == 0;
}

static size_t run_length(const char *start, const char *end, char character) {
        const char *at = start;

        while (at < end && *at == character)
                at++;
        return (size_t) (at - start);
}

/* What is open behind the lines so far. */
struct Block {
        char fence; /* '`' or '~'; 0: no code block */
        size_t fence_length;
        const char *html_end; /* what ends an HTML block; NULL: none */
};

static bool contains(const struct Line *line, const char *text) {
        size_t size = strlen(text);

        for (const char *at = line->start; (size_t) (line->end - at) >= size; at++)
                if (strncasecmp(at, text, size) == 0)
                        return true;
        return false;
}

static bool is_blank(const char *start, const char *end) {
        while (start < end && (*start == ' ' || *start == '\t'))
                start++;
        return start == end;
}

static void open_block(struct Block *block, const struct Line *line) {
        char character = line->start < line->end ? *line->start : '\0';
        size_t length = run_length(line->start, line->end, character);
        const char *rest = line->start + length;

        /* Backticks further on in the line: that is a code span. */
        if (length >= 3 &&
                (character == '~' ||
                        (character == '`' && !memchr(rest, '`', (size_t) (line->end - rest))))) {
                block->fence = character;
                block->fence_length = length;
                return;
        }
        for (size_t i = 0; i < sizeof html_blocks / sizeof html_blocks[0]; i++)
                if (begins_with(line, html_blocks[i].start))
                        block->html_end = html_blocks[i].end;
}

/* At the outermost level: within a quote or a list, what is open ends with that. */
static void follow(struct Block *block, const struct Line *line) {
        if (block->fence) {
                size_t length = run_length(line->start, line->end, block->fence);

                if (length >= block->fence_length && is_blank(line->start + length, line->end))
                        block->fence = '\0';
                return;
        }
        if (!block->html_end)
                open_block(block, line);
        if (block->html_end && contains(line, block->html_end))
                block->html_end = NULL;
}

static bool is_ours(const struct Line *line, const char *const ours[]) {
        struct Line heading = *line;

        heading.start += run_length(heading.start, heading.end, '#');
        if (heading.start == line->start)
                return false;
        while (heading.start < heading.end && (*heading.start == ' ' || *heading.start == '\t'))
                heading.start++;
        for (size_t i = 0; ours[i]; i++)
                if (begins_with(&heading, ours[i]))
                        return true;
        return false;
}

static bool needs_fence(const char *text, size_t size, const char *const ours[]) {
        const char *end = text + size;
        struct Block block = { 0 };
        struct Line line;

        while (next_line(&text, end, &line)) {
                if (is_ours(&line, ours))
                        return true;
                follow(&block, &line);
        }
        return block.fence || block.html_end;
}

static size_t longest_run(const char *text, size_t size, char character) {
        const char *end = text + size;
        size_t longest = 0;

        while (text < end) {
                size_t length = run_length(text, end, character);

                if (length > longest)
                        longest = length;
                text += length > 0 ? length : 1;
        }
        return longest;
}

static void write_fence(FILE *document, size_t length) {
        for (size_t i = 0; i < length; i++)
                (void) fputc('`', document);
}

void enclose_write(FILE *document, const char *text, size_t size, const char *const ours[]) {
        size_t fence = 0;

        if (needs_fence(text, size, ours)) {
                size_t longest = longest_run(text, size, '`');

                fence = longest < 3 ? 3 : longest + 1;
                write_fence(document, fence);
                (void) fputs("text\n", document);
        }
        (void) fwrite(text, 1, size, document);
        if (size == 0 || text[size - 1] != '\n')
                (void) fputc('\n', document);
        if (fence > 0) {
                write_fence(document, fence);
                (void) fputc('\n', document);
        }
}
