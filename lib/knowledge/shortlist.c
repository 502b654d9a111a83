/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/shortlist.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/term-index.h"

int shortlist_allocate(struct Shortlist *list, size_t n) {
        list->chunks = calloc(n, sizeof *list->chunks);
        list->spans = calloc(n, sizeof *list->spans);
        return list->chunks && list->spans ? 0 : -ENOMEM;
}

void shortlist_clear(struct Shortlist *list) {
        free(list->chunks);
        free(list->chunk_vectors.data);
        free(list->spans);
        free(list->span_vectors.data);
        *list = (struct Shortlist){ 0 };
}

/* Order. */

static int compare_ids(const void *a, const void *b) {
        const struct ScoredChunk *x = a, *y = b;

        return x->rank.id < y->rank.id ? -1 : x->rank.id > y->rank.id;
}

/* That of the tables. */
static void sort_by_id(struct Shortlist *list) {
        if (list->n > 1)
                qsort(list->chunks, list->n, sizeof *list->chunks, compare_ids);
}

static bool is_better(const struct Rank *a, const struct Rank *b) {
        return a->score > b->score || (a->score == b->score && a->id < b->id);
}

static int compare_ranks(const void *a, const void *b) {
        const struct ScoredChunk *x = a, *y = b;

        return is_better(&x->rank, &y->rank) ? -1 : is_better(&y->rank, &x->rank);
}

void shortlist_sort(struct Shortlist *list) {
        if (list->n > 1)
                qsort(list->chunks, list->n, sizeof *list->chunks, compare_ranks);
}

/* Reading. A vector is opened when all are there, as the buffer may move until then. */

/* Room for so many bytes more, at the end. */
static int reserve(struct VectorBuffer *buffer, size_t size, uint8_t **ret_end) {
        if (!buffer->data || buffer->allocated - buffer->size < size) {
                size_t allocated = 2 * buffer->allocated + size + (64 << 10);
                uint8_t *data = realloc(buffer->data, allocated);

                if (!data)
                        return -ENOMEM;
                buffer->data = data;
                buffer->allocated = allocated;
        }
        *ret_end = buffer->data + buffer->size;
        buffer->size += size;
        return 0;
}

static void blob_closep(sqlite3_blob **blob) {
        (void) sqlite3_blob_close(*blob);
}

static int read_vector(struct Shortlist *list, sqlite3 *db, sqlite3_blob **blob,
        struct ScoredChunk *candidate, struct Failure *failure) {
        uint8_t *end;
        int code, size;

        /* A handle that is moved on finds its next row in a fraction of the time of a query. */
        code = *blob
                ? sqlite3_blob_reopen(*blob, candidate->rank.id)
                : sqlite3_blob_open(db, "main", "chunk_terms", "data", candidate->rank.id, 0, blob);
        if (code == SQLITE_ERROR) /* there is none */
                return term_index_damaged(db, failure);
        if (code != SQLITE_OK)
                return sqlite_failure(db, failure, "read the index");
        size = sqlite3_blob_bytes(*blob);
        if (reserve(&list->chunk_vectors, (size_t) size, &end) < 0)
                return failure_out_of_memory(failure);
        if (sqlite3_blob_read(*blob, end, size, 0) != SQLITE_OK)
                return sqlite_failure(db, failure, "read the index");
        candidate->size = (size_t) size;
        return 0;
}

int span_prepare(
        struct IndexReader *reader, sqlite3_stmt **ret_statement, struct Failure *failure) {
        return index_reader_prepare(reader,
                "SELECT first_chunk, last_chunk, data FROM span_terms"
                " WHERE first_chunk <= ?1 ORDER BY first_chunk DESC LIMIT 1",
                ret_statement, failure);
}

int span_find(
        sqlite3_stmt *statement, int64_t chunk, struct SpanRow *ret_row, struct Failure *failure) {
        struct SpanRow row = { .first = chunk, .last = chunk };
        int code;

        (void) sqlite3_reset(statement);
        if (sqlite3_bind_int64(statement, 1, chunk) != SQLITE_OK)
                return failure_out_of_memory(failure);
        code = sqlite3_step(statement);
        if (code != SQLITE_ROW && code != SQLITE_DONE)
                return sqlite_failure(sqlite3_db_handle(statement), failure, "read the index");
        if (code == SQLITE_ROW && sqlite3_column_int64(statement, 1) >= chunk)
                row = (struct SpanRow){
                        .first = sqlite3_column_int64(statement, 0),
                        .last = sqlite3_column_int64(statement, 1),
                        .data = sqlite3_column_blob(statement, 2),
                        .size = (size_t) sqlite3_column_bytes(statement, 2),
                };
        *ret_row = row;
        return 0;
}

static int read_span(struct Shortlist *list, sqlite3_stmt *statement, struct ScoredChunk *chunk,
        struct Failure *failure) {
        struct Span *last = list->n_spans > 0 ? &list->spans[list->n_spans - 1] : NULL;
        struct SpanRow row;
        uint8_t *end;
        int r;

        if (!last || last->last < chunk->rank.id) {
                r = span_find(statement, chunk->rank.id, &row, failure);
                if (r < 0 || row.first == row.last)
                        return r;
                if (reserve(&list->span_vectors, row.size, &end) < 0)
                        return failure_out_of_memory(failure);
                if (row.size > 0)
                        memcpy(end, row.data, row.size);
                last = &list->spans[list->n_spans++];
                *last = (struct Span){ .first = row.first, .last = row.last, .size = row.size };
        }
        chunk->span = last;
        return 0;
}

int shortlist_read(struct Shortlist *list, struct IndexReader *reader, struct Failure *failure) {
        sqlite3 *db = index_reader_database(reader);
        sqlite3_blob *blob _cleanup_(blob_closep) = NULL;
        const uint8_t *at;
        int r = 0;

        sort_by_id(list);
        for (size_t i = 0; r >= 0 && i < list->n; i++)
                r = read_vector(list, db, &blob, &list->chunks[i], failure);
        at = list->chunk_vectors.data;
        for (size_t i = 0; r >= 0 && i < list->n; at += list->chunks[i++].size)
                if (term_vector_open(at, list->chunks[i].size, &list->chunks[i].vector) < 0)
                        return term_index_damaged(db, failure);
        return r;
}

static int read_spans(struct Shortlist *list, struct IndexReader *reader, struct Failure *failure) {
        sqlite3_stmt *statement _cleanup_reset_ = NULL;
        const uint8_t *at;
        int r = span_prepare(reader, &statement, failure);

        sort_by_id(list);
        for (size_t i = 0; r >= 0 && i < list->n; i++)
                r = read_span(list, statement, &list->chunks[i], failure);
        at = list->span_vectors.data;
        for (size_t i = 0; r >= 0 && i < list->n_spans; at += list->spans[i++].size)
                if (term_vector_open(at, list->spans[i].size, &list->spans[i].vector) < 0)
                        return term_index_damaged(index_reader_database(reader), failure);
        return r;
}

/* Scoring. */

static int score_chunks(struct Shortlist *list, const struct WeightedTerm *terms, size_t n,
        const struct Bm25 *bm25) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < list->n; i++)
                r = term_vector_score(&list->chunks[i].vector, bm25->chunk_length, terms, n,
                        &list->chunks[i].rank.score);
        return r;
}

/* To the scores of chunks, those of what stands around them. */
static int share_spans(struct Shortlist *list, const struct WeightedTerm *terms, size_t n,
        const struct Bm25 *bm25) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < list->n_spans; i++)
                r = term_vector_score(
                        &list->spans[i].vector, bm25->span_length, terms, n, &list->spans[i].score);
        for (size_t i = 0; r >= 0 && i < list->n; i++) {
                struct ScoredChunk *chunk = &list->chunks[i];
                double around = chunk->span ? chunk->span->score : 0;

                if (!chunk->span)
                        r = term_vector_score(&chunk->vector, bm25->span_length, terms, n, &around);
                chunk->rank.score = shared_score(chunk->rank.score, around);
        }
        shortlist_sort(list);
        return r;
}

static int damaged(struct IndexReader *reader, struct Failure *failure) {
        return term_index_damaged(index_reader_database(reader), failure);
}

int shortlist_narrow(struct Shortlist *list, size_t n, struct IndexReader *reader,
        const struct WeightedTerm *terms, size_t n_terms, struct Failure *failure) {
        const struct Bm25 *bm25 = index_reader_bm25(reader);
        int r;

        if (score_chunks(list, terms, n_terms, bm25) < 0)
                return damaged(reader, failure);
        shortlist_sort(list);
        if (list->n > n)
                list->n = n;
        r = read_spans(list, reader, failure);
        if (r < 0)
                return r;
        return share_spans(list, terms, n_terms, bm25) < 0 ? damaged(reader, failure) : 0;
}

int shortlist_score(struct Shortlist *list, struct IndexReader *reader,
        const struct WeightedTerm *terms, size_t n_terms, struct Failure *failure) {
        const struct Bm25 *bm25 = index_reader_bm25(reader);

        return score_chunks(list, terms, n_terms, bm25) < 0 ||
                        share_spans(list, terms, n_terms, bm25) < 0
                ? damaged(reader, failure)
                : 0;
}
