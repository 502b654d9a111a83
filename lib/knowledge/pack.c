/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/pack.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/text-stream.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"
#include "lib/knowledge/enclose.h"

/* What our headings say behind their #, and no heading of a chunk may. */
#define CONTEXT_HEADING "Context: "
#define CHUNK_HEADING   "sources/"
#define PROMPT_HEADING  "Prompt"
static const char *const our_headings[] = { CONTEXT_HEADING, CHUNK_HEADING, PROMPT_HEADING, NULL };

/* A text in the making, with its size in characters. */
struct Piece {
        char *text;
        size_t size;
        uint64_t characters;
};

static void piece_done(struct Piece *piece) {
        free(piece->text);
}
#define _cleanup_piece_ _cleanup_(piece_done)

static int piece_finish(struct Piece *piece, FILE *stream, bool failed) {
        if (fclose(stream) != 0 || failed)
                return -ENOMEM;
        piece->characters = utf8_count(piece->text, piece->size);
        return 0;
}

/* Names of files and headings come from outside: on one line, whatever they hold. */
static bool write_line_text(FILE *stream, const char *before, const char *text) {
        _cleanup_free_ char *escaped = text_escape(text);

        return escaped && fprintf(stream, "%s%s", before, escaped) >= 0;
}

static int write_header(struct Piece *piece, const char *project_id) {
        FILE *stream = text_stream_open(&piece->text, &piece->size);
        bool done;

        if (!stream)
                return -ENOMEM;
        done = project_id ? write_line_text(stream, "# " CONTEXT_HEADING "project ", project_id)
                          : fputs("# " CONTEXT_HEADING "all projects", stream) >= 0;
        (void) fputc('\n', stream);
        return piece_finish(piece, stream, !done);
}

static int write_chunk(struct Piece *piece, const struct Chunk *chunk) {
        FILE *stream = text_stream_open(&piece->text, &piece->size);
        bool done;

        if (!stream)
                return -ENOMEM;
        done = write_line_text(stream, "\n### ", chunk->source_file);
        for (size_t i = 0; done && chunk->heading_path && chunk->heading_path[i]; i++)
                done = write_line_text(stream, " › ", chunk->heading_path[i]);
        (void) fprintf(
                stream, " (lines %" PRIu64 "–%" PRIu64 ")\n\n", chunk->start_line, chunk->end_line);
        enclose_write(stream, chunk->content, chunk->content_size, our_headings);
        return piece_finish(piece, stream, !done);
}

/* Duplicates. */

static bool is_blank(char character) {
        return isspace((unsigned char) character);
}

/* Behind a run of blanks, and whether there was one. Blanks at the ends of a text do not count. */
static bool skip_blanks(const char **at, const char *end) {
        const char *start = *at;

        while (*at < end && is_blank(**at))
                (*at)++;
        return *at > start && *at < end;
}

static bool is_same_text(const struct Chunk *a, const struct Chunk *b) {
        const char *at_a = a->content, *end_a = at_a + a->content_size;
        const char *at_b = b->content, *end_b = at_b + b->content_size;

        (void) skip_blanks(&at_a, end_a);
        (void) skip_blanks(&at_b, end_b);
        while (at_a < end_a && at_b < end_b) {
                bool blank_a = skip_blanks(&at_a, end_a), blank_b = skip_blanks(&at_b, end_b);

                if (blank_a != blank_b || at_a == end_a || at_b == end_b)
                        break;
                if (*at_a++ != *at_b++)
                        return false;
        }
        (void) skip_blanks(&at_a, end_a);
        (void) skip_blanks(&at_b, end_b);
        return at_a == end_a && at_b == end_b;
}

static bool is_duplicate(
        const struct Retrieval *retrieval, const enum PackDecision *decisions, size_t index) {
        for (size_t i = 0; i < index; i++)
                if (decisions[i] == PACK_USED &&
                        is_same_text(&retrieval->chunks[i], &retrieval->chunks[index]))
                        return true;
        return false;
}

/* The pack. */

static int fill(const struct Retrieval *retrieval, const struct Piece *header, uint64_t budget,
        FILE *context, struct Pack *pack) {
        for (size_t i = 0; i < retrieval->n_chunks; i++) {
                const struct Chunk *chunk = &retrieval->chunks[i];
                _cleanup_piece_ struct Piece piece = { 0 };

                if (is_duplicate(retrieval, pack->decisions, i)) {
                        pack->decisions[i] = PACK_DROPPED_DUPLICATE;
                        continue;
                }
                /* No character is longer than 4 bytes: need not be tried. */
                if (chunk->content_size / 4 > budget) {
                        pack->decisions[i] = PACK_DROPPED_BUDGET;
                        continue;
                }
                int r = write_chunk(&piece, chunk);
                if (r < 0)
                        return r;

                uint64_t needed = piece.characters;
                if (pack->chunks_used == 0)
                        needed += header->characters;
                if (needed > budget - pack->total_chars) {
                        pack->decisions[i] = PACK_DROPPED_BUDGET;
                        continue;
                }
                if (pack->chunks_used == 0)
                        (void) fwrite(header->text, 1, header->size, context);
                (void) fwrite(piece.text, 1, piece.size, context);
                pack->decisions[i] = PACK_USED;
                pack->total_chars += needed;
                pack->chunks_used++;
        }
        return 0;
}

static int write_context(const struct Retrieval *retrieval, const char *project_id, uint64_t budget,
        struct Pack *pack) {
        _cleanup_piece_ struct Piece header = { 0 };
        FILE *context;
        size_t size;
        int r;

        r = write_header(&header, project_id);
        if (r < 0)
                return r;
        context = text_stream_open(&pack->formatted_context, &size);
        if (!context)
                return -ENOMEM;
        r = fill(retrieval, &header, budget, context, pack);
        return fclose(context) != 0 || r < 0 ? -ENOMEM : 0;
}

static int write_full_prompt(struct Pack *pack, const char *prompt) {
        int r = pack->chunks_used == 0
                ? asprintf(&pack->full_prompt, "%s", prompt)
                : asprintf(&pack->full_prompt, "%s\n---\n\n# " PROMPT_HEADING "\n\n%s",
                          pack->formatted_context, prompt);

        if (r < 0)
                pack->full_prompt = NULL;
        return r < 0 ? -ENOMEM : 0;
}

int pack_build(const struct Retrieval *retrieval, const char *project_id, const char *prompt,
        uint64_t budget, struct Pack **ret_pack) {
        _cleanup_pack_ struct Pack *pack = calloc(1, sizeof *pack);
        int r;

        if (!pack)
                return -ENOMEM;
        pack->decisions = calloc(retrieval->n_chunks + 1, sizeof *pack->decisions);
        if (!pack->decisions)
                return -ENOMEM;
        r = write_context(retrieval, project_id, budget, pack);
        if (r < 0)
                return r;
        r = write_full_prompt(pack, prompt);
        if (r < 0)
                return r;
        *ret_pack = STEAL(pack);
        return 0;
}

struct Pack *pack_free(struct Pack *pack) {
        if (!pack)
                return NULL;
        free(pack->formatted_context);
        free(pack->full_prompt);
        free(pack->decisions);
        free(pack);
        return NULL;
}
