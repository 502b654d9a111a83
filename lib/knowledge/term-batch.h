/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Chunks that wait to be written to the index, as what is written: which terms are in which of
 * them. In memory only, some ten MB at most.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/knowledge/analyzer.h"
#include "lib/knowledge/posting.h"
#include "lib/knowledge/term-table.h"

/* What a word counts where it stands. A document's title is often its first heading, too. */
#define TERM_WEIGHT_TITLE    2
#define TERM_WEIGHT_HEADINGS 1
#define TERM_WEIGHT_KEYWORDS 2
#define TERM_WEIGHT_CONTENT  1

/* A span: so many neighbouring chunks of a document at most, from its first one on. */
#define SPAN_CHUNKS 32

struct IndexedText {
        const char *title;
        const char *heading_path; /* as JSON: what is not a word there separates words */
        const char *keywords;
        const char *path; /* of the document; counts like keywords */
        const char *content;
        size_t content_size;
};

struct WaitingChunk {
        int64_t id;
        uint32_t length; /* in weighted words */
        uint32_t span;   /* its place among those that wait */
        struct PostingWriter vector;
};

struct WaitingSpan {
        int64_t first, last; /* chunks */
        uint64_t length;
        struct PostingWriter vector;
};

/* A term in a chunk. */
struct Occurrence {
        uint32_t term;     /* its number in the table */
        uint32_t chunk;    /* its place among those that wait */
        uint8_t frequency; /* VECTOR_FREQUENCY_MAX is that or more */
        uint8_t weight;    /* that of a posting */
};

/* One per term of the table. */
struct WaitingTerm {
        int64_t id;         /* in the index; 0: not known yet */
        uint32_t frequency; /* in the chunk that is being added; 0 in between */
        uint32_t chunks;    /* of those that wait */
};

/* {0} but for the analyzer is empty. */
struct TermBatch {
        struct Analyzer *analyzer;
        struct TermTable terms; /* stays from one batch to the next, for the ids */
        struct WaitingTerm *waiting;
        size_t waiting_allocated;
        uint32_t *met; /* the terms of the chunk that is being added */
        size_t n_met, met_allocated;

        struct WaitingChunk *chunks;
        size_t n_chunks, chunks_allocated;
        struct WaitingSpan *spans;
        size_t n_spans, spans_allocated;
        struct Occurrence *occurrences; /* chunk by chunk */
        size_t n_occurrences, occurrences_allocated;
};

/* `starts_span`: it is not of the span of the one before it. -ENOMEM; then it holds what it held.
 */
int term_batch_add(
        struct TermBatch *batch, int64_t chunk, bool starts_span, const struct IndexedText *text);
/* It should be written before more is added. */
bool term_batch_is_full(const struct TermBatch *batch);

/* The terms that wait, by id: each list and vector is written in one go. */
struct OrderedTerm {
        int64_t id;
        uint32_t term;
        size_t end; /* of its occurrences, among all */
};

struct OrderedBatch {
        struct OrderedTerm *terms;
        size_t n;
        struct Occurrence *occurrences; /* by term, and by chunk */
};

/* The ids of all terms that wait are known. -ENOMEM. */
int term_batch_order(const struct TermBatch *batch, struct OrderedBatch *ret_ordered);
void ordered_batch_clear(struct OrderedBatch *ordered);
#define _cleanup_ordered_batch_ _cleanup_(ordered_batch_clear)

/* Nothing waits any more. The ids of terms stay known, if they are not too many. */
void term_batch_reset(struct TermBatch *batch);
/* Those of terms that are gone may be given to others. */
void term_batch_forget_ids(struct TermBatch *batch);
void term_batch_clear(struct TermBatch *batch);
