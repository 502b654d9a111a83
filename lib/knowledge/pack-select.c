/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/pack-select.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/utf8.h"
#include "lib/knowledge/excerpt.h"
#include "lib/knowledge/near-duplicate.h"

/* A chunk on its way into the pack. */
struct Candidate {
        const struct Chunk *chunk;
        const struct Candidate *before, *after; /* whom it continues, and who continues it */
        struct Passage *passage;                /* that it is in, or NULL */
        struct Fingerprint fingerprint;
};

struct Selector {
        const struct Retrieval *retrieval;
        uint64_t budget;
        struct Candidate *candidates; /* by rank */
        const struct Chunk **joined;  /* room for a passage of all chunks */
        struct KnownTexts used;
        struct PackSelection *selection;
};

static void selector_done(struct Selector *selector) {
        for (size_t i = 0; selector->candidates && i < selector->retrieval->n_chunks; i++)
                fingerprint_done(&selector->candidates[i].fingerprint);
        known_texts_done(&selector->used);
        free(selector->candidates);
        free(selector->joined);
        (void) pack_selection_free(selector->selection);
}

/* Before the first round. */

static int compare_places(const void *a, const void *b) {
        const struct Chunk *left = (*(struct Candidate *const *) a)->chunk;
        const struct Chunk *right = (*(struct Candidate *const *) b)->chunk;

        if (left->document_id != right->document_id)
                return left->document_id < right->document_id ? -1 : 1;
        return (left->ordinal > right->ordinal) - (left->ordinal < right->ordinal);
}

static int find_neighbours(struct Selector *selector) {
        size_t n = selector->retrieval->n_chunks;
        _cleanup_free_ struct Candidate **places = calloc(n + 1, sizeof(struct Candidate *));

        if (!places)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                places[i] = &selector->candidates[i];
        qsort(places, n, sizeof(struct Candidate *), compare_places);
        for (size_t i = 1, run = 1; i < n; i++, run++) {
                if (run == PASSAGE_CHUNKS_MAX ||
                        !passage_continues(places[i - 1]->chunk, places[i]->chunk)) {
                        run = 0;
                        continue;
                }
                places[i - 1]->after = places[i];
                places[i]->before = places[i - 1];
        }
        return 0;
}

static int find_fingerprints(struct Selector *selector, size_t *ret_shingles) {
        const struct Retrieval *retrieval = selector->retrieval;
        uint64_t all_bytes = 0;
        size_t shingles = 0;

        for (size_t i = 0; i < retrieval->n_chunks; i++)
                all_bytes += retrieval->chunks[i].content_size;
        for (size_t i = 0; i < retrieval->n_chunks; i++) {
                int r = fingerprint_make(retrieval->chunks[i].content,
                        retrieval->chunks[i].content_size, all_bytes,
                        &selector->candidates[i].fingerprint);
                if (r < 0)
                        return r;
                shingles += selector->candidates[i].fingerprint.shingles.n;
        }
        *ret_shingles = shingles;
        return 0;
}

static int selector_prepare(struct Selector *selector) {
        const struct Retrieval *retrieval = selector->retrieval;
        struct PackSelection *selection = calloc(1, sizeof *selection);
        size_t n = retrieval->n_chunks, shingles = 0;
        int r;

        selector->selection = selection;
        selector->candidates = calloc(n + 1, sizeof *selector->candidates);
        selector->joined = calloc(n + 1, sizeof *selector->joined);
        if (!selection || !selector->candidates || !selector->joined)
                return -ENOMEM;
        selection->decisions = calloc(n + 1, sizeof *selection->decisions);
        selection->passages = calloc(n + 1, sizeof *selection->passages);
        if (!selection->decisions || !selection->passages)
                return -ENOMEM;
        selection->n_passages = n;

        for (size_t i = 0; i < n; i++)
                selector->candidates[i].chunk = &retrieval->chunks[i];
        r = find_neighbours(selector);
        if (r >= 0)
                r = find_fingerprints(selector, &shingles);
        return r < 0 ? r : known_texts_make(n, shingles, &selector->used);
}

/* The rounds. While they run, a passage stands at the index of its best chunk; others are NULL. */

static bool repeats_used(const struct Selector *selector, size_t index) {
        return known_texts_hold(&selector->used, &selector->candidates[index].fingerprint);
}

static uint64_t characters_of(const struct Candidate *candidate) {
        return candidate && candidate->passage ? candidate->passage->characters : 0;
}

static uint64_t document_characters(const struct Selector *selector, int64_t document_id) {
        uint64_t characters = 0;

        for (size_t i = 0; i < selector->retrieval->n_chunks; i++) {
                const struct Passage *passage = selector->selection->passages[i];

                if (passage && passage->best->document_id == document_id)
                        characters += passage->characters;
        }
        return characters;
}

static size_t add_passage(
        const struct Chunk **joined, size_t n, const struct Candidate *candidate) {
        if (!candidate || !candidate->passage)
                return n;
        memcpy(joined + n, candidate->passage->chunks,
                candidate->passage->n_chunks * sizeof *joined);
        return n + candidate->passage->n_chunks;
}

/* The passage that there would be with `size` bytes of the candidate. What follows an excerpt in
 * the text is no part of its passage. */
static int join(const struct Selector *selector, const struct Candidate *candidate, size_t size,
        struct Passage **ret_passage) {
        const struct Chunk **joined = selector->joined;
        bool whole = size == candidate->chunk->content_size;
        size_t n = add_passage(joined, 0, candidate->before);

        joined[n++] = candidate->chunk;
        if (whole)
                n = add_passage(joined, n, candidate->after);
        return passage_new(joined, n, whole ? joined[n - 1]->content_size : size, ret_passage);
}

/* Takes the passage in place of those that its chunks are in. */
static void take(struct Selector *selector, struct Passage *passage) {
        struct PackSelection *selection = selector->selection;
        const struct Chunk *chunks = selector->retrieval->chunks;

        for (size_t i = 0; i < passage->n_chunks; i++) {
                size_t index = (size_t) (passage->chunks[i] - chunks);
                struct Passage *replaced = selection->passages[index];

                if (replaced) {
                        selection->characters -= replaced->characters;
                        selection->passages[index] = passage_free(replaced);
                }
                if (!selector->candidates[index].passage)
                        known_texts_add(&selector->used, &selector->candidates[index].fingerprint);
                selector->candidates[index].passage = passage;
                selection->decisions[index] = PACK_USED;
        }
        selection->passages[passage->best - chunks] = passage;
        selection->characters += passage->characters;
}

/* Whether a document is within its half when it gets so much more in place of so much less. Its
 * first chunk always is. */
static bool is_within_share(
        const struct Selector *selector, int64_t document_id, uint64_t less, uint64_t more) {
        uint64_t characters = document_characters(selector, document_id);

        return characters == 0 || characters - less + more <= selector->budget / 2;
}

static int consider(struct Selector *selector, size_t index, bool limited) {
        const struct Candidate *candidate = &selector->candidates[index];
        struct PackSelection *selection = selector->selection;
        _cleanup_passage_ struct Passage *passage = NULL;
        uint64_t replaced = characters_of(candidate->before) + characters_of(candidate->after);
        uint64_t room = selector->budget - selection->characters + replaced;
        int r;

        if (repeats_used(selector, index)) {
                selection->decisions[index] = PACK_DROPPED_DUPLICATE;
                return 0;
        }
        /* Need not be tried. */
        if (candidate->chunk->char_count > room)
                return 0;
        r = join(selector, candidate, candidate->chunk->content_size, &passage);
        if (r < 0)
                return r;
        if (passage->characters > room)
                return 0;
        if (limited &&
                !is_within_share(
                        selector, candidate->chunk->document_id, replaced, passage->characters))
                return 0;
        take(selector, STEAL(passage));
        return 0;
}

/* Takes an excerpt, if there is a good one. Positive: it was taken. */
static int consider_excerpt(struct Selector *selector, size_t index) {
        const struct Candidate *candidate = &selector->candidates[index];
        const struct Chunk *chunk = candidate->chunk;
        uint64_t left = selector->budget - selector->selection->characters, max = left;
        uint64_t room = left + characters_of(candidate->before);

        /* Once without, then with what citation, mark and maybe a fence need beside the text. Each
         * round allows less, and ends at EXCERPT_MIN if not before. */
        for (;;) {
                _cleanup_passage_ struct Passage *passage = NULL;
                size_t size = excerpt_size(chunk->content, chunk->content_size, max);
                int r;

                if (size == 0)
                        return 0;
                r = join(selector, candidate, size, &passage);
                if (r < 0)
                        return r;
                if (passage->characters <= room) {
                        take(selector, STEAL(passage));
                        return 1;
                }
                uint64_t excess = passage->characters - room;
                uint64_t taken = utf8_count(chunk->content, size);
                if (excess >= taken)
                        return 0;
                max = taken - excess;
        }
}

/* From here on all chunks are of one document. */
static size_t start_of_last_document(const struct Retrieval *retrieval) {
        size_t start = retrieval->n_chunks;

        while (start > 0 &&
                retrieval->chunks[start - 1].document_id ==
                        retrieval->chunks[retrieval->n_chunks - 1].document_id)
                start--;
        return start;
}

static int fill(struct Selector *selector) {
        size_t n = selector->retrieval->n_chunks;
        enum PackDecision *decisions = selector->selection->decisions;
        size_t nobody_waits = start_of_last_document(selector->retrieval);
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++)
                r = consider(selector, i, i < nobody_waits);
        for (size_t i = 0; i < n && r >= 0; i++)
                if (decisions[i] == PACK_DROPPED_BUDGET)
                        r = consider(selector, i, false);
        /* Of what was taken later than they were considered. */
        for (size_t i = 0; i < n; i++)
                if (decisions[i] == PACK_DROPPED_BUDGET && repeats_used(selector, i))
                        decisions[i] = PACK_DROPPED_DUPLICATE;
        for (size_t i = 0; i < n && r == 0; i++)
                if (decisions[i] == PACK_DROPPED_BUDGET)
                        r = consider_excerpt(selector, i);
        return r < 0 ? r : 0;
}

int pack_select(
        const struct Retrieval *retrieval, uint64_t budget, struct PackSelection **ret_selection) {
        _cleanup_(selector_done) struct Selector selector = { .retrieval = retrieval,
                .budget = budget };
        int r;

        r = selector_prepare(&selector);
        if (r < 0)
                return r;
        r = fill(&selector);
        if (r < 0)
                return r;

        struct PackSelection *selection = STEAL(selector.selection);
        selection->n_passages = 0;
        for (size_t i = 0; i < retrieval->n_chunks; i++) {
                struct Passage *passage = STEAL(selection->passages[i]);

                if (passage)
                        selection->passages[selection->n_passages++] = passage;
        }
        *ret_selection = selection;
        return 0;
}

struct PackSelection *pack_selection_free(struct PackSelection *selection) {
        if (!selection)
                return NULL;
        for (size_t i = 0; i < selection->n_passages; i++)
                (void) passage_free(selection->passages[i]);
        free(selection->passages);
        free(selection->decisions);
        free(selection);
        return NULL;
}
