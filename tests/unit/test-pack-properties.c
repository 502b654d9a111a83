/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What holds for every pack, whatever was found: packs of documents made up at random, from fixed
 * seeds, cut by the chunker as ingest does.
 */

#include <stdlib.h>

#include "chunker-fixture.h"
#include "lib/base/text-stream.h"
#include "lib/knowledge/block.h"
#include "lib/knowledge/near-duplicate.h"
#include "lib/knowledge/pack.h"

#define ROUNDS    150
#define DOCUMENTS 5
#define HITS_MAX  60

/* xorshift64 (G. Marsaglia, Xorshift RNGs, 2003). */
static uint64_t random_state;

static size_t random_below(size_t n) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return (size_t) (random_state % n);
}

/* Documents. */

static void write_words(FILE *f, size_t n) {
        static const char *const words[] = { "the", "flat", "12", "Nm", "isopropanol", "drawer.",
                "gl\xc3\xa4ss", "``", "run!", "seven", "\xf0\x9f\x98\x80", "<pre>", "polisher",
                "of", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x80\x82", "felt" };

        for (size_t i = 0; i < n; i++)
                (void) fprintf(f, "%s%s", i > 0 ? " " : "",
                        words[random_below(sizeof words / sizeof words[0])]);
}

static void write_block(FILE *f, const char *end) {
        static const char *const headings[] = { "# A", "# B", "## A", "## C", "### sources/x", "##",
                "# Prompt", "# Context: x" };
        size_t lines = 1 + random_below(30);

        switch (random_below(9)) {
        case 0:
        case 1:
                (void) fprintf(f, "%s%s",
                        headings[random_below(sizeof headings / sizeof headings[0])], end);
                break;
        case 2:
                (void) fprintf(f, "```%s", end);
                for (size_t i = 0; i < lines; i++) {
                        write_words(f, 6);
                        (void) fputs(end, f);
                }
                (void) fprintf(f, "```%s", end);
                break;
        case 3:
                (void) fprintf(f, "| a | b |%s| --- | --- |%s", end, end);
                for (size_t i = 0; i < lines; i++)
                        (void) fprintf(f, "| %zu | %zu |%s", i, random_below(9), end);
                break;
        case 4:
                write_words(f, 1000); /* a line that the chunker splits inside */
                (void) fputs(end, f);
                break;
        default:
                for (size_t i = 0; i < lines; i++) {
                        (void) fputs(random_below(2) == 0 ? "- " : "", f);
                        write_words(f, 1 + random_below(40));
                        (void) fputs(end, f);
                }
        }
        (void) fprintf(f, "%s%s", random_below(4) == 0 ? " \t" : "", end);
}

struct Source {
        char file[32];
        char *text;
        size_t size;
        struct DocumentText *document;
};

static void write_source(struct Source *source, const struct Source *model) {
        static const char *const ends[] = { "\n", "\r\n", "\r" };
        const char *end = ends[random_below(3)];
        FILE *f = text_stream_open(&source->text, &source->size);

        assert_non_null(f);
        if (model)
                (void) fwrite(model->text, 1, model->size, f);
        for (size_t n = random_below(20); n > 0; n--)
                write_block(f, end);
        assert_int_equal(fclose(f), 0);
        source->document = chunk_bytes(source->text, source->size, DOCUMENT_MARKDOWN);
}

/* What is found. */

struct World {
        struct Source sources[DOCUMENTS];
        struct Retrieval retrieval;
        struct Chunk chunks[HITS_MAX];
        const struct ChunkText *texts[HITS_MAX]; /* of chunks */
        char *contents[HITS_MAX];
        struct Fingerprint fingerprints[HITS_MAX];
};

static bool is_hit(const struct World *world, const struct ChunkText *text) {
        for (size_t i = 0; i < world->retrieval.n_chunks; i++)
                if (world->texts[i] == text)
                        return true;
        return false;
}

static void find_something(struct World *world) {
        for (size_t tries = random_below(2 * HITS_MAX); tries > 0; tries--) {
                size_t which = random_below(DOCUMENTS), i = world->retrieval.n_chunks;
                struct Source *source = &world->sources[which];

                if (source->document->n_chunks == 0 || i == HITS_MAX)
                        continue;
                size_t ordinal = random_below(source->document->n_chunks);
                struct ChunkText *text = &source->document->chunks[ordinal];
                if (is_hit(world, text))
                        continue;
                world->texts[i] = text;
                world->contents[i] = strndup(text->text, text->size);
                assert_non_null(world->contents[i]);
                world->chunks[i] = (struct Chunk){ .id = (int64_t) (1000 * which + ordinal),
                        .document_id = (int64_t) which,
                        .ordinal = ordinal,
                        .source_file = source->file,
                        .heading_path = text->heading_path,
                        .start_line = text->start_line,
                        .end_line = text->end_line,
                        .content = world->contents[i],
                        .content_size = text->size,
                        .char_count = utf8_count(text->text, text->size) };
                assert_int_equal(
                        fingerprint_make(text->text, text->size, 0, &world->fingerprints[i]), 0);
                world->retrieval.n_chunks++;
        }
        world->retrieval.chunks = world->chunks;
}

static void world_make(struct World *world, uint64_t seed) {
        random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
        for (size_t i = 0; i < DOCUMENTS; i++) {
                (void) snprintf(world->sources[i].file, sizeof world->sources[i].file,
                        "sources/vault/%zu.md", i);
                write_source(&world->sources[i],
                        i > 0 && random_below(3) == 0 ? &world->sources[random_below(i)] : NULL);
        }
        find_something(world);
}

static void world_clear(struct World *world) {
        for (size_t i = 0; i < world->retrieval.n_chunks; i++) {
                fingerprint_done(&world->fingerprints[i]);
                free(world->contents[i]);
        }
        for (size_t i = 0; i < DOCUMENTS; i++) {
                document_text_free(world->sources[i].document);
                free(world->sources[i].text);
        }
}

/* What holds. */

static size_t index_of(const struct World *world, const struct Chunk *chunk) {
        return (size_t) (chunk - world->chunks);
}

/* The same bytes, but for blanks in lines of nothing else. */
static void check_same_text(const char *a, size_t size_a, const char *b, size_t size_b) {
        while (size_a > 0 && size_b > 0) {
                size_t line_a = line_content_size(a, size_a), whole_a = line_size(a, size_a);
                size_t line_b = line_content_size(b, size_b), whole_b = line_size(b, size_b);

                assert_int_equal(line_is_blank(a, line_a), line_is_blank(b, line_b));
                if (!line_is_blank(a, line_a)) {
                        assert_int_equal(line_a, line_b);
                        assert_memory_equal(a, b, line_a);
                }
                a += whole_a;
                size_a -= whole_a;
                b += whole_b;
                size_b -= whole_b;
        }
        assert_int_equal(size_a, size_b);
}

/* It holds what its file holds there, and cites the lines of that. */
static void check_passage(const struct World *world, const struct Passage *passage) {
        const struct ChunkText *first = world->texts[index_of(world, passage->chunks[0])];
        const struct Chunk *last_chunk = passage->chunks[passage->n_chunks - 1];
        const struct ChunkText *last = world->texts[index_of(world, last_chunk)];
        const struct Source *source = &world->sources[last_chunk->document_id];
        const char *end = last->text + last->size;

        if (passage->cut) {
                /* Its last chunk is there as far as the passage goes behind the others. */
                size_t before = 0;
                while (before < passage->content_size &&
                        (passage->content_size - before > last->size ||
                                memcmp(passage->content + before, last->text,
                                        passage->content_size - before) != 0))
                        before++;
                assert_true(before < passage->content_size);
                end = last->text + (passage->content_size - before);
        }
        check_same_text(
                passage->content, passage->content_size, first->text, (size_t) (end - first->text));
        assert_int_equal(passage->start_line, 1 + count_lines(source->text, first->text));
        assert_int_equal(passage->end_line, 1 + count_lines(source->text, end));
        assert_int_equal(passage->char_count, utf8_count(passage->content, passage->content_size));
}

/* Each chunk is where the decision says, and that has its reason. */
static void check_decisions(const struct World *world, const struct PackSelection *selection) {
        const struct Passage *passage_of[HITS_MAX] = { NULL };

        for (size_t i = 0; i < selection->n_passages; i++)
                for (size_t k = 0; k < selection->passages[i]->n_chunks; k++) {
                        size_t index = index_of(world, selection->passages[i]->chunks[k]);

                        assert_null(passage_of[index]);
                        passage_of[index] = selection->passages[i];
                }
        for (size_t i = 0; i < world->retrieval.n_chunks; i++) {
                bool repeated = false;

                assert_int_equal(selection->decisions[i] == PACK_USED, passage_of[i] != NULL);
                for (size_t k = 0; k < world->retrieval.n_chunks; k++) {
                        if (!passage_of[k] || k == i)
                                continue;
                        repeated = repeated ||
                                fingerprint_repeats(
                                        &world->fingerprints[i], &world->fingerprints[k]);
                        if (passage_of[i] && passage_of[i] != passage_of[k] &&
                                passage_continues(&world->chunks[i], &world->chunks[k]))
                                assert_true(passage_of[i]->cut);
                }
                if (selection->decisions[i] == PACK_DROPPED_DUPLICATE)
                        assert_true(repeated);
        }
}

static void check_pack(const struct World *world, const struct Pack *pack, uint64_t budget) {
        const struct PackSelection *selection = pack->selection;
        const char *at = pack->formatted_context;
        size_t cuts = 0, rank = 0;

        assert_true(pack->total_chars <= budget);
        assert_int_equal(pack->total_chars, utf8_count(at, strlen(at)));
        assert_true(utf8_is_valid(at, strlen(at)));
        if (selection->n_passages > 0)
                at = strchr(at, '\n') + 1;
        for (size_t i = 0; i < selection->n_passages; i++) {
                const struct Passage *passage = selection->passages[i];

                assert_memory_equal(at, passage->text, passage->text_size);
                at += passage->text_size;
                cuts += passage->cut;
                assert_true(i == 0 || index_of(world, passage->best) > rank);
                rank = index_of(world, passage->best);
                for (size_t k = 0; k < passage->n_chunks; k++)
                        assert_true(index_of(world, passage->chunks[k]) >= rank);
                check_passage(world, passage);
        }
        assert_string_equal(at, "");
        assert_true(cuts <= 1);
        check_decisions(world, selection);
}

static void test_every_pack_keeps_its_promises(void **state) {
        (void) state;
        static const size_t budgets[] = { 200, 1000, 3000, 20000, 1000000 };
        size_t joined = 0, cut = 0, used = 0, duplicates = 0;

        for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
                _cleanup_(world_clear) struct World world = { .retrieval.mode = "lexical" };
                _cleanup_pack_ struct Pack *pack = NULL, *again = NULL;

                world_make(&world, seed);
                uint64_t budget = random_below(budgets[random_below(5)]);
                assert_int_equal(pack_build(&world.retrieval, "p05", "What?", budget, &pack), 0);
                assert_int_equal(pack_build(&world.retrieval, "p05", "What?", budget, &again), 0);
                assert_string_equal(pack->full_prompt, again->full_prompt);
                check_pack(&world, pack, budget);

                for (size_t i = 0; i < pack->selection->n_passages; i++) {
                        used++;
                        joined += pack->selection->passages[i]->n_chunks > 1;
                        cut += pack->selection->passages[i]->cut;
                }
                for (size_t i = 0; i < world.retrieval.n_chunks; i++)
                        duplicates += pack->selection->decisions[i] == PACK_DROPPED_DUPLICATE;
        }
        /* It was no walk past what is to be tested. */
        assert_true(used > 500 && joined > 50 && cut > 30 && duplicates > 100);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_pack_keeps_its_promises),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
