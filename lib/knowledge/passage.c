/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/passage.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/text-stream.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"
#include "lib/knowledge/block.h"
#include "lib/knowledge/enclose.h"

static const char *const our_headings[] = { CONTEXT_HEADING, PASSAGE_HEADING, PROMPT_HEADING,
        NULL };

/* Which chunks belong together. */

static bool is_same_path(char *const *a, char *const *b) {
        size_t i = 0;

        for (; a && a[i] && b && b[i]; i++)
                if (strcmp(a[i], b[i]) != 0)
                        return false;
        return !(a && a[i]) && !(b && b[i]);
}

/* `## Heading`, or `##` alone. One that is underlined needs no look: before it no heading can have
 * been left out (chunker.h), as its text makes it one that is in the path. */
static bool begins_with_heading(const char *text, size_t size) {
        size_t at = 0, start;

        while (at < size && at < 3 && text[at] == ' ')
                at++;
        for (start = at; at < size && text[at] == '#';)
                at++;
        return at > start && at - start <= 6 &&
                (at == size || line_is_blank(text + at, 1) || text[at] == '\n' || text[at] == '\r');
}

bool passage_continues(const struct Chunk *chunk, const struct Chunk *next) {
        return chunk->document_id == next->document_id && next->ordinal == chunk->ordinal + 1 &&
                next->start_line > chunk->end_line &&
                is_same_path(chunk->heading_path, next->heading_path) &&
                !begins_with_heading(next->content, next->content_size);
}

/* The text. */

/* As lines end in it, "\n" where there is one only. */
static const char *line_end(const char *text, size_t size) {
        size_t at = line_content_size(text, size);

        if (at == size || text[at] == '\n')
                return "\n";
        return at + 1 < size && text[at + 1] == '\n' ? "\r\n" : "\r";
}

static void write_gap(FILE *content, const struct Chunk *chunk, const struct Chunk *next) {
        const struct Chunk *model = chunk->end_line > chunk->start_line ? chunk : next;
        const char *end = line_end(model->content, model->content_size);

        for (uint64_t line = chunk->end_line; line < next->start_line; line++)
                (void) fputs(end, content);
}

static uint64_t count_line_ends(const char *text, size_t size) {
        uint64_t count = 0;

        for (size_t at = 0; at < size; at += line_size(text + at, size - at))
                count += at + line_content_size(text + at, size - at) < size;
        return count;
}

static int join(struct Passage *passage, size_t last_size) {
        FILE *content = text_stream_open(&passage->content, &passage->content_size);
        size_t last = passage->n_chunks - 1;

        if (!content)
                return -ENOMEM;
        for (size_t i = 0; i < last; i++) {
                const struct Chunk *chunk = passage->chunks[i];

                (void) fwrite(chunk->content, 1, chunk->content_size, content);
                write_gap(content, chunk, passage->chunks[i + 1]);
        }
        (void) fwrite(passage->chunks[last]->content, 1, last_size, content);
        if (fclose(content) != 0)
                return -ENOMEM;
        passage->char_count = utf8_count(passage->content, passage->content_size);
        return 0;
}

/* The citation. */

/* Names of files and headings come from outside: on one line, whatever they hold. */
static bool write_line_text(FILE *stream, const char *before, const char *text) {
        _cleanup_free_ char *escaped = text_escape(text);

        return escaped && fprintf(stream, "%s%s", before, escaped) >= 0;
}

static int cite(struct Passage *passage) {
        char **path = passage->best->heading_path;
        FILE *stream = text_stream_open(&passage->text, &passage->text_size);
        bool done;

        if (!stream)
                return -ENOMEM;
        done = write_line_text(stream, "\n### ", passage->best->source_file);
        for (size_t i = 0; done && path && path[i]; i++)
                done = write_line_text(stream, " › ", path[i]);
        (void) fprintf(stream, " (lines %" PRIu64 "–%" PRIu64 ")\n\n", passage->start_line,
                passage->end_line);
        enclose_write(stream, passage->content, passage->content_size, our_headings);
        if (passage->cut)
                (void) fputs("\n" PASSAGE_CUT "\n", stream);
        if (fclose(stream) != 0 || !done)
                return -ENOMEM;
        passage->characters = utf8_count(passage->text, passage->text_size);
        return 0;
}

int passage_new(const struct Chunk *const *chunks, size_t n, size_t last_size,
        struct Passage **ret_passage) {
        _cleanup_passage_ struct Passage *passage = calloc(1, sizeof *passage);
        const struct Chunk *last = chunks[n - 1];
        int r;

        if (!passage)
                return -ENOMEM;
        passage->chunks = calloc(n, sizeof *passage->chunks);
        if (!passage->chunks)
                return -ENOMEM;
        memcpy(passage->chunks, chunks, n * sizeof *chunks);
        passage->n_chunks = n;
        passage->best = chunks[0];
        for (size_t i = 1; i < n; i++)
                if (chunks[i] < passage->best)
                        passage->best = chunks[i];
        passage->cut = last_size < last->content_size;
        passage->start_line = chunks[0]->start_line;
        passage->end_line = passage->cut
                ? last->start_line + count_line_ends(last->content, last_size)
                : last->end_line;

        r = join(passage, last_size);
        if (r < 0)
                return r;
        r = cite(passage);
        if (r < 0)
                return r;
        *ret_passage = STEAL(passage);
        return 0;
}

struct Passage *passage_free(struct Passage *passage) {
        if (!passage)
                return NULL;
        free(passage->chunks);
        free(passage->content);
        free(passage->text);
        free(passage);
        return NULL;
}
