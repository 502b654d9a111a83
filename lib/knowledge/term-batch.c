/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/term-batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/knowledge/front-matter.h"

/* Some thousand chunks of prose, or many more of next to nothing. */
#define OCCURRENCES_MAX (512 << 10)
#define CHUNKS_MAX      (16 << 10)

/* Weighted words that front matter counts at least: as many as the longest chunks of text. It says
 * again what the title and the tags say, in few words, and would be found before the text. */
#define FRONT_MATTER_LENGTH 500

/* Whose ids are kept from one batch to the next: what a large vault has. */
#define KNOWN_TERMS_MAX 200000

/* Room for one more; -ENOMEM. */
static int grow(void *array, size_t *allocated, size_t n, size_t size) {
        size_t more = *allocated > 0 ? *allocated * 2 : 256;
        void *grown;

        if (n < *allocated)
                return 0;
        grown = reallocarray(*(void **) array, more, size);
        if (!grown)
                return -ENOMEM;
        *(void **) array = grown;
        *allocated = more;
        return 0;
}

static int grow_waiting(struct TermBatch *batch) {
        size_t n = batch->terms.allocated;
        struct WaitingTerm *waiting = reallocarray(batch->waiting, n, sizeof *waiting);

        if (!waiting)
                return -ENOMEM;
        memset(waiting + batch->waiting_allocated, 0,
                (n - batch->waiting_allocated) * sizeof *waiting);
        batch->waiting = waiting;
        batch->waiting_allocated = n;
        return 0;
}

struct Field {
        struct TermBatch *batch;
        uint32_t weight;
        uint64_t length;
};

static int count_term(void *userdata, const char *term, size_t size, size_t start, size_t end) {
        struct Field *field = userdata;
        struct TermBatch *batch = field->batch;
        struct WaitingTerm *waiting;
        size_t number;
        int r;

        (void) start;
        (void) end;
        r = term_table_put(&batch->terms, term, size, &number);
        if (r >= 0 && number >= batch->waiting_allocated)
                r = grow_waiting(batch);
        if (r >= 0)
                r = grow(&batch->met, &batch->met_allocated, batch->n_met, sizeof *batch->met);
        if (r < 0)
                return r;
        waiting = &batch->waiting[number];
        if (waiting->frequency == 0)
                batch->met[batch->n_met++] = (uint32_t) number;
        if (waiting->frequency < UINT32_MAX - field->weight)
                waiting->frequency += field->weight;
        field->length += field->weight;
        return 0;
}

static int count_texts(struct Field *field, const struct IndexedText *text) {
        const struct {
                uint32_t weight;
                const char *text;
                size_t size;
        } parts[] = {
                { TERM_WEIGHT_TITLE, text->title, strlen(text->title) },
                { TERM_WEIGHT_HEADINGS, text->heading_path, strlen(text->heading_path) },
                { TERM_WEIGHT_KEYWORDS, text->keywords, strlen(text->keywords) },
                { TERM_WEIGHT_KEYWORDS, text->path, strlen(text->path) },
                { TERM_WEIGHT_CONTENT, text->content, text->content_size },
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < sizeof parts / sizeof parts[0]; i++) {
                field->weight = parts[i].weight;
                r = analyze(field->batch->analyzer, ANALYZE_INDEX, parts[i].text, parts[i].size,
                        count_term, field);
        }
        return r;
}

static int reserve_occurrences(struct TermBatch *batch) {
        int r = 0;

        while (r >= 0 && batch->occurrences_allocated - batch->n_occurrences < batch->n_met)
                r = grow(&batch->occurrences, &batch->occurrences_allocated,
                        batch->occurrences_allocated, sizeof *batch->occurrences);
        return r;
}

static void keep_counts(struct TermBatch *batch, uint32_t length) {
        for (size_t i = 0; i < batch->n_met; i++) {
                struct WaitingTerm *waiting = &batch->waiting[batch->met[i]];

                batch->occurrences[batch->n_occurrences++] = (struct Occurrence){
                        .term = batch->met[i],
                        .chunk = (uint32_t) batch->n_chunks,
                        .frequency = waiting->frequency < VECTOR_FREQUENCY_MAX
                                ? (uint8_t) waiting->frequency
                                : VECTOR_FREQUENCY_MAX,
                        .weight = posting_weight(waiting->frequency, length),
                };
                waiting->chunks++;
        }
}

static void extend_span(struct TermBatch *batch, int64_t chunk, bool starts_span, uint32_t length) {
        if (starts_span || batch->n_spans == 0)
                batch->spans[batch->n_spans++] = (struct WaitingSpan){ .first = chunk };
        batch->spans[batch->n_spans - 1].last = chunk;
        batch->spans[batch->n_spans - 1].length += length;
}

static bool is_front_matter(const struct IndexedText *text) {
        return text->content_size > 0 &&
                front_matter_size(text->content, text->content_size) == text->content_size;
}

int term_batch_add(
        struct TermBatch *batch, int64_t chunk, bool starts_span, const struct IndexedText *text) {
        struct Field field = { .batch = batch };
        uint32_t length;
        int r;

        r = grow(&batch->chunks, &batch->chunks_allocated, batch->n_chunks, sizeof *batch->chunks);
        if (r >= 0)
                r = grow(&batch->spans, &batch->spans_allocated, batch->n_spans,
                        sizeof *batch->spans);
        if (r >= 0)
                r = count_texts(&field, text);
        if (r >= 0)
                r = reserve_occurrences(batch);
        if (field.length < FRONT_MATTER_LENGTH && is_front_matter(text))
                field.length = FRONT_MATTER_LENGTH;
        length = field.length < UINT32_MAX ? (uint32_t) field.length : UINT32_MAX;
        if (r >= 0) {
                keep_counts(batch, length);
                extend_span(batch, chunk, starts_span, length);
                batch->chunks[batch->n_chunks++] = (struct WaitingChunk){
                        .id = chunk, .length = length, .span = (uint32_t) batch->n_spans - 1
                };
        }
        for (size_t i = 0; i < batch->n_met; i++)
                batch->waiting[batch->met[i]].frequency = 0;
        batch->n_met = 0;
        return r;
}

bool term_batch_is_full(const struct TermBatch *batch) {
        return batch->n_occurrences >= OCCURRENCES_MAX || batch->n_chunks >= CHUNKS_MAX;
}

static int compare_ids(const void *a, const void *b) {
        const struct OrderedTerm *x = a, *y = b;

        return x->id < y->id ? -1 : x->id > y->id;
}

static void order_terms(const struct TermBatch *batch, struct OrderedBatch *ordered) {
        size_t end = 0;

        for (size_t i = 0; i < batch->terms.n && i < batch->waiting_allocated; i++)
                if (batch->waiting[i].chunks > 0)
                        ordered->terms[ordered->n++] =
                                (struct OrderedTerm){ batch->waiting[i].id, (uint32_t) i, 0 };
        if (ordered->n > 1)
                qsort(ordered->terms, ordered->n, sizeof *ordered->terms, compare_ids);
        for (size_t i = 0; i < ordered->n; i++)
                ordered->terms[i].end = end += batch->waiting[ordered->terms[i].term].chunks;
}

/* Within a term they stay in the order of their chunks. */
static void order_occurrences(
        const struct TermBatch *batch, const struct OrderedBatch *ordered, size_t *at) {
        for (size_t i = 0; i < ordered->n; i++) {
                const struct OrderedTerm *term = &ordered->terms[i];

                at[term->term] = term->end - batch->waiting[term->term].chunks;
        }
        for (size_t i = 0; i < batch->n_occurrences; i++)
                ordered->occurrences[at[batch->occurrences[i].term]++] = batch->occurrences[i];
}

int term_batch_order(const struct TermBatch *batch, struct OrderedBatch *ret_ordered) {
        _cleanup_free_ size_t *at = calloc(batch->terms.n + 1, sizeof *at);
        struct OrderedBatch ordered = {
                .terms = calloc(batch->terms.n + 1, sizeof *ordered.terms),
                .occurrences = calloc(batch->n_occurrences + 1, sizeof *ordered.occurrences),
        };

        if (!at || !ordered.terms || !ordered.occurrences) {
                ordered_batch_clear(&ordered);
                return -ENOMEM;
        }
        order_terms(batch, &ordered);
        order_occurrences(batch, &ordered, at);
        *ret_ordered = ordered;
        return 0;
}

void ordered_batch_clear(struct OrderedBatch *ordered) {
        free(ordered->terms);
        free(ordered->occurrences);
        *ordered = (struct OrderedBatch){ 0 };
}

static void clear_vectors(struct TermBatch *batch) {
        for (size_t i = 0; i < batch->n_chunks; i++)
                posting_writer_clear(&batch->chunks[i].vector);
        for (size_t i = 0; i < batch->n_spans; i++)
                posting_writer_clear(&batch->spans[i].vector);
}

void term_batch_reset(struct TermBatch *batch) {
        clear_vectors(batch);
        for (size_t i = 0; i < batch->terms.n && i < batch->waiting_allocated; i++)
                batch->waiting[i].chunks = 0;
        if (batch->terms.n > KNOWN_TERMS_MAX) {
                term_batch_forget_ids(batch);
                term_table_reset(&batch->terms);
        }
        batch->n_chunks = 0;
        batch->n_spans = 0;
        batch->n_occurrences = 0;
}

void term_batch_forget_ids(struct TermBatch *batch) {
        for (size_t i = 0; i < batch->waiting_allocated; i++)
                batch->waiting[i].id = 0;
}

void term_batch_clear(struct TermBatch *batch) {
        clear_vectors(batch);
        (void) analyzer_free(batch->analyzer);
        term_table_clear(&batch->terms);
        free(batch->waiting);
        free(batch->met);
        free(batch->chunks);
        free(batch->spans);
        free(batch->occurrences);
        *batch = (struct TermBatch){ 0 };
}
