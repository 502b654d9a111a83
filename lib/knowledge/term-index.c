/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/term-index.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/posting.h"
#include "lib/knowledge/term-lists.h"
#include "lib/knowledge/term-vector.h"

/* Terms of removed chunks that wait, 8 MiB of them. */
#define REMOVED_MAX (512 << 10)

enum Statement {
        FIND_TERM,
        INSERT_TERM,
        COUNT_TERM,
        DELETE_UNUSED_TERM,
        SELECT_VECTOR,
        INSERT_VECTOR,
        DELETE_VECTOR,
        INSERT_SPAN,
        DELETE_SPAN,
        COUNT,
        STATEMENT_COUNT,
};

static const char *const statement_texts[STATEMENT_COUNT] = {
        [FIND_TERM] = "SELECT id FROM terms WHERE term = ?1",
        [INSERT_TERM] = "INSERT INTO terms (term, chunks) VALUES (?1, ?2)",
        [COUNT_TERM] = "UPDATE terms SET chunks = chunks + ?2 WHERE id = ?1 AND chunks + ?2 >= 0",
        [DELETE_UNUSED_TERM] = "DELETE FROM terms WHERE id = ?1 AND chunks = 0",
        [SELECT_VECTOR] = "SELECT data FROM chunk_terms WHERE chunk_id = ?1",
        [INSERT_VECTOR] = "INSERT INTO chunk_terms (chunk_id, data) VALUES (?1, ?2)",
        [DELETE_VECTOR] = "DELETE FROM chunk_terms WHERE chunk_id = ?1",
        [INSERT_SPAN] = "INSERT INTO span_terms (first_chunk, last_chunk, data)"
                        " VALUES (?1, ?2, ?3)",
        [DELETE_SPAN] = "DELETE FROM span_terms WHERE first_chunk = ?1",
        [COUNT] = "INSERT INTO state (key, value)"
                  " VALUES ('index_chunks', ?1), ('index_length', ?2), ('index_spans', ?3)"
                  " ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
};

struct TermIndex {
        sqlite3 *db;
        sqlite3_stmt *statements[STATEMENT_COUNT];
        struct TermLists lists;
        struct TermBatch batch;
        struct ListedChunk *removed;
        size_t n_removed, removed_allocated;
        struct Totals {
                int64_t chunks, length, spans;
        } change;
};

int term_index_open(sqlite3 *db, struct TermIndex **ret_index, struct Failure *failure) {
        struct TermIndex *index = calloc(1, sizeof *index);
        int r;

        if (!index)
                return failure_out_of_memory(failure);
        index->db = db;
        r = analyzer_new(&index->batch.analyzer) < 0 ? failure_out_of_memory(failure) : 0;
        if (r >= 0)
                r = term_lists_open(db, &index->lists, failure);
        for (size_t i = 0; r >= 0 && i < STATEMENT_COUNT; i++)
                r = sqlite_prepare(db, statement_texts[i], &index->statements[i], failure);
        if (r < 0) {
                term_index_close(index);
                return r;
        }
        *ret_index = index;
        return 0;
}

int term_index_damaged(sqlite3 *db, struct Failure *failure) {
        const char *path = sqlite3_db_filename(db, "main");

        return failure_set(failure, EVENT_DATABASE_INVALID, 0, path,
                "The index in %s is damaged; restore the newest valid snapshot, or move the "
                "database away and ingest again",
                path);
}

struct TermIndex *term_index_close(struct TermIndex *index) {
        if (!index)
                return NULL;
        for (size_t i = 0; i < STATEMENT_COUNT; i++)
                (void) sqlite3_finalize(index->statements[i]);
        term_batch_clear(&index->batch);
        free(index->removed);
        term_lists_close(&index->lists);
        free(index);
        return NULL;
}

static int step(struct TermIndex *index, sqlite3_stmt *statement, struct Failure *failure) {
        return sqlite3_step(statement) == SQLITE_DONE
                ? 0
                : sqlite_failure(index->db, failure, "write the index");
}

static int run_on(struct TermIndex *index, enum Statement which, int64_t first, int64_t second,
        struct Failure *failure) {
        sqlite3_stmt *statement _cleanup_reset_ = index->statements[which];
        int bound = sqlite3_bind_int64(statement, 1, first);

        if (bound == SQLITE_OK && sqlite3_bind_parameter_count(statement) > 1)
                bound = sqlite3_bind_int64(statement, 2, second);
        return bound != SQLITE_OK ? failure_out_of_memory(failure)
                                  : step(index, statement, failure);
}

static int add_to_totals(struct TermIndex *index, struct Failure *failure) {
        sqlite3_stmt *count _cleanup_reset_ = index->statements[COUNT];

        if (sqlite3_bind_int64(count, 1, index->change.chunks) != SQLITE_OK ||
                sqlite3_bind_int64(count, 2, index->change.length) != SQLITE_OK ||
                sqlite3_bind_int64(count, 3, index->change.spans) != SQLITE_OK)
                return failure_out_of_memory(failure);
        return step(index, count, failure);
}

/* The term's count changes, and it must be there. */
static int count_term(
        struct TermIndex *index, int64_t term, int64_t change, struct Failure *failure) {
        int r = run_on(index, COUNT_TERM, term, change, failure);

        if (r >= 0 && sqlite3_changes64(index->db) == 0)
                return term_index_damaged(index->db, failure);
        return r;
}

static bool starts_span(uint64_t ordinal) {
        return ordinal % SPAN_CHUNKS == 0;
}

/* A batch ends where a span does: which chunks are a span depends on the document alone. */
int term_index_add(struct TermIndex *index, int64_t chunk, uint64_t ordinal,
        const struct IndexedText *text, struct Failure *failure) {
        bool starts = starts_span(ordinal);
        int r = starts && term_batch_is_full(&index->batch) ? term_index_apply(index, failure) : 0;

        if (r < 0)
                return r;
        if (term_batch_add(&index->batch, chunk, starts, text) < 0)
                return failure_out_of_memory(failure);
        index->change.chunks++;
        index->change.spans += starts;
        index->change.length += index->batch.chunks[index->batch.n_chunks - 1].length;
        return 0;
}

static int grow_removed(struct TermIndex *index) {
        size_t allocated = index->removed_allocated > 0 ? 2 * index->removed_allocated : 256;
        struct ListedChunk *removed = reallocarray(index->removed, allocated, sizeof *removed);

        if (!removed)
                return -ENOMEM;
        index->removed = removed;
        index->removed_allocated = allocated;
        return 0;
}

static bool is_waiting(const struct TermIndex *index, int64_t chunk) {
        return index->batch.n_chunks > 0 && chunk >= index->batch.chunks[0].id;
}

int term_index_remove(
        struct TermIndex *index, int64_t chunk, uint64_t ordinal, struct Failure *failure) {
        sqlite3_stmt *select _cleanup_reset_ = index->statements[SELECT_VECTOR];
        struct TermVector vector;
        struct Posting posting;
        int r;

        if (is_waiting(index, chunk) || index->n_removed >= REMOVED_MAX) {
                r = term_index_apply(index, failure);
                if (r < 0)
                        return r;
        }
        if (sqlite3_bind_int64(select, 1, chunk) != SQLITE_OK)
                return failure_out_of_memory(failure);
        switch (sqlite3_step(select)) {
        case SQLITE_ROW:
                break;
        case SQLITE_DONE:
                return term_index_damaged(index->db, failure);
        default:
                return sqlite_failure(index->db, failure, "read the index");
        }
        r = term_vector_open(
                sqlite3_column_blob(select, 0), (size_t) sqlite3_column_bytes(select, 0), &vector);
        while (r >= 0 && (r = posting_read(&vector.terms, &posting)) > 0) {
                if (index->n_removed == index->removed_allocated && grow_removed(index) < 0)
                        return failure_out_of_memory(failure);
                index->removed[index->n_removed++] =
                        (struct ListedChunk){ (int64_t) posting.key, chunk };
        }
        if (r < 0)
                return term_index_damaged(index->db, failure);
        index->change.chunks--;
        index->change.length -= (int64_t) vector.length;
        r = run_on(index, DELETE_VECTOR, chunk, 0, failure);
        if (r < 0 || !starts_span(ordinal))
                return r;
        index->change.spans--;
        return run_on(index, DELETE_SPAN, chunk, 0, failure);
}

/* Removing. */

static int compare_removed(const void *a, const void *b) {
        const struct ListedChunk *x = a, *y = b;

        if (x->term != y->term)
                return x->term < y->term ? -1 : 1;
        return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

/* How many of them are of the same term and window as the first. */
static size_t run_length(const struct ListedChunk *first, size_t n) {
        size_t length = 1;

        while (length < n && first[length].term == first->term &&
                first[length].chunk / TERM_WINDOW == first->chunk / TERM_WINDOW)
                length++;
        return length;
}

static int apply_removed(struct TermIndex *index, struct Failure *failure) {
        int64_t unused = 0;
        int r;

        if (index->n_removed > 1)
                qsort(index->removed, index->n_removed, sizeof *index->removed, compare_removed);
        for (size_t i = 0, length; i < index->n_removed; i += length) {
                const struct ListedChunk *first = &index->removed[i];
                int64_t window = first->chunk / TERM_WINDOW;

                length = run_length(first, index->n_removed - i);
                r = term_lists_read(&index->lists, first->term, window, first, length, failure);
                if (r >= 0)
                        r = term_lists_write(&index->lists, first->term, window, failure);
                if (r >= 0)
                        r = count_term(index, first->term, -(int64_t) length, failure);
                if (r >= 0)
                        r = run_on(index, DELETE_UNUSED_TERM, first->term, 0, failure);
                if (r < 0)
                        return r;
                unused += sqlite3_changes64(index->db);
        }
        if (unused > 0)
                term_batch_forget_ids(&index->batch);
        return 0;
}

/* Adding. */

static int find_id(struct TermIndex *index, size_t number, struct Failure *failure) {
        sqlite3_stmt *find _cleanup_reset_ = index->statements[FIND_TERM];

        if (sqlite3_bind_text(find, 1, term_table_text(&index->batch.terms, number),
                    (int) index->batch.terms.terms[number].size, SQLITE_STATIC) != SQLITE_OK)
                return failure_out_of_memory(failure);
        switch (sqlite3_step(find)) {
        case SQLITE_ROW:
                index->batch.waiting[number].id = sqlite3_column_int64(find, 0);
                return index->batch.waiting[number].id > 0 ? 0
                                                           : term_index_damaged(index->db, failure);
        case SQLITE_DONE:
                return 0;
        default:
                return sqlite_failure(index->db, failure, "read the index");
        }
}

static int insert_term(struct TermIndex *index, size_t number, struct Failure *failure) {
        sqlite3_stmt *insert _cleanup_reset_ = index->statements[INSERT_TERM];
        struct WaitingTerm *waiting = &index->batch.waiting[number];
        int r;

        if (sqlite3_bind_text(insert, 1, term_table_text(&index->batch.terms, number),
                    (int) index->batch.terms.terms[number].size, SQLITE_STATIC) != SQLITE_OK ||
                sqlite3_bind_int64(insert, 2, waiting->chunks) != SQLITE_OK)
                return failure_out_of_memory(failure);
        r = step(index, insert, failure);
        if (r < 0)
                return r;
        waiting->id = sqlite3_last_insert_rowid(index->db);
        return waiting->id > 0 ? 0 : term_index_damaged(index->db, failure);
}

/* Terms that are new are counted, and get ids above *ret_known. */
static int find_ids(struct TermIndex *index, int64_t *ret_known, struct Failure *failure) {
        int r = sqlite_query_int64(
                index->db, "SELECT coalesce(max(id), 0) FROM terms", ret_known, failure);

        if (r >= 0 && *ret_known < 0)
                return term_index_damaged(index->db, failure);
        for (size_t i = 0; r >= 0 && i < index->batch.terms.n; i++) {
                const struct WaitingTerm *waiting = &index->batch.waiting[i];

                if (waiting->chunks == 0)
                        continue;
                if (waiting->id > *ret_known) /* none that this connection has put there */
                        return term_index_damaged(index->db, failure);
                if (waiting->id == 0 && *ret_known > 0)
                        r = find_id(index, i, failure);
                if (r < 0 || waiting->id != 0)
                        continue;
                r = insert_term(index, i, failure);
                if (r >= 0 && waiting->id <= *ret_known)
                        r = term_index_damaged(index->db, failure);
        }
        return r;
}

/* To the list of one term in one window, and to the vectors of the chunks and of their spans. */
static int append_to_list(struct TermIndex *index, int64_t term, bool is_new, int64_t window,
        const struct Occurrence *occurrences, size_t n, struct Failure *failure) {
        struct PostingWriter *list = &index->lists.list;
        int r = 0;

        if (is_new)
                posting_writer_reset(list);
        else
                r = term_lists_read(&index->lists, term, window, NULL, 0, failure);
        for (size_t i = 0; r >= 0 && i < n; i++) {
                struct WaitingChunk *chunk = &index->batch.chunks[occurrences[i].chunk];
                struct WaitingSpan *span = &index->batch.spans[chunk->span];
                uint64_t key = (uint64_t) chunk->id % TERM_WINDOW;

                if (key < list->next)
                        return term_index_damaged(index->db, failure);
                if (posting_append(list, key, occurrences[i].weight) < 0 ||
                        vector_append(&chunk->vector, (uint64_t) term, occurrences[i].frequency) <
                                0)
                        return failure_out_of_memory(failure);
                if (span->first != span->last &&
                        vector_append(&span->vector, (uint64_t) term, occurrences[i].frequency) < 0)
                        return failure_out_of_memory(failure);
        }
        return r < 0 ? r : term_lists_write(&index->lists, term, window, failure);
}

static int64_t window_of(const struct TermIndex *index, const struct Occurrence *occurrence) {
        return index->batch.chunks[occurrence->chunk].id / TERM_WINDOW;
}

static int append(struct TermIndex *index, int64_t term, bool is_new,
        const struct Occurrence *occurrences, size_t n, struct Failure *failure) {
        int r = 0;

        for (size_t i = 0, next; r >= 0 && i < n; i = next) {
                int64_t window = window_of(index, &occurrences[i]);

                for (next = i + 1; next < n && window_of(index, &occurrences[next]) == window;)
                        next++;
                r = append_to_list(index, term, is_new, window, &occurrences[i], next - i, failure);
        }
        return r < 0 || is_new ? r : count_term(index, term, (int64_t) n, failure);
}

static int bind_vector(sqlite3_stmt *statement, int parameter, const struct PostingWriter *vector) {
        return sqlite3_bind_blob64(statement, parameter, vector->data, vector->size, SQLITE_STATIC);
}

static int write_vector(
        struct TermIndex *index, const struct WaitingChunk *chunk, struct Failure *failure) {
        sqlite3_stmt *insert _cleanup_reset_ = index->statements[INSERT_VECTOR];

        if (sqlite3_bind_int64(insert, 1, chunk->id) != SQLITE_OK ||
                bind_vector(insert, 2, &chunk->vector) != SQLITE_OK)
                return failure_out_of_memory(failure);
        return step(index, insert, failure);
}

static int write_span(
        struct TermIndex *index, const struct WaitingSpan *span, struct Failure *failure) {
        sqlite3_stmt *insert _cleanup_reset_ = index->statements[INSERT_SPAN];

        if (span->first == span->last)
                return 0;
        if (sqlite3_bind_int64(insert, 1, span->first) != SQLITE_OK ||
                sqlite3_bind_int64(insert, 2, span->last) != SQLITE_OK ||
                bind_vector(insert, 3, &span->vector) != SQLITE_OK)
                return failure_out_of_memory(failure);
        return step(index, insert, failure);
}

static int begin_vectors(struct TermBatch *batch) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < batch->n_chunks; i++)
                r = vector_begin(&batch->chunks[i].vector, batch->chunks[i].length);
        for (size_t i = 0; r >= 0 && i < batch->n_spans; i++)
                r = vector_begin(&batch->spans[i].vector, batch->spans[i].length);
        return r;
}

static int apply_added(struct TermIndex *index, struct Failure *failure) {
        _cleanup_ordered_batch_ struct OrderedBatch ordered = { 0 };
        int64_t known;
        size_t first = 0;
        int r;

        if (index->batch.n_chunks == 0)
                return 0;
        r = find_ids(index, &known, failure);
        if (r < 0)
                return r;
        if (term_batch_order(&index->batch, &ordered) < 0 || begin_vectors(&index->batch) < 0)
                return failure_out_of_memory(failure);
        for (size_t i = 0; r >= 0 && i < ordered.n; i++) {
                int64_t term = ordered.terms[i].id;
                size_t end = ordered.terms[i].end;

                r = append(index, term, term > known, ordered.occurrences + first, end - first,
                        failure);
                first = end;
        }
        for (size_t i = 0; r >= 0 && i < index->batch.n_chunks; i++)
                r = write_vector(index, &index->batch.chunks[i], failure);
        for (size_t i = 0; r >= 0 && i < index->batch.n_spans; i++)
                r = write_span(index, &index->batch.spans[i], failure);
        return r;
}

int term_index_apply(struct TermIndex *index, struct Failure *failure) {
        int r = apply_removed(index, failure);

        if (r >= 0)
                r = apply_added(index, failure);
        if (r >= 0)
                r = add_to_totals(index, failure);
        term_batch_reset(&index->batch);
        index->n_removed = 0;
        index->change = (struct Totals){ 0 };
        return r;
}

int term_index_rebuild(sqlite3 *db, struct Failure *failure) {
        _cleanup_term_index_ struct TermIndex *index = NULL;
        _cleanup_statement_ sqlite3_stmt *chunks = NULL;
        int r, code;

        r = sqlite_execute(db,
                "DELETE FROM postings; DELETE FROM chunk_terms; DELETE FROM span_terms;"
                "DELETE FROM terms;"
                "DELETE FROM state WHERE key IN ('index_chunks', 'index_length', 'index_spans')",
                failure);
        if (r >= 0)
                r = term_index_open(db, &index, failure);
        if (r >= 0) /* by id: so each list is only appended to */
                r = sqlite_prepare(db,
                        "SELECT chunks.id, ordinal, chunks.title, heading_path, keywords, path, "
                        "content"
                        " FROM chunks JOIN documents ON documents.id = document_id"
                        " ORDER BY chunks.id",
                        &chunks, failure);
        if (r < 0)
                return r;
        while ((code = sqlite3_step(chunks)) == SQLITE_ROW) {
                struct IndexedText text = {
                        .title = (const char *) sqlite3_column_text(chunks, 2),
                        .heading_path = (const char *) sqlite3_column_text(chunks, 3),
                        .keywords = (const char *) sqlite3_column_text(chunks, 4),
                        .path = (const char *) sqlite3_column_text(chunks, 5),
                        .content = (const char *) sqlite3_column_text(chunks, 6),
                        .content_size = (size_t) sqlite3_column_bytes(chunks, 6),
                };

                if (!text.title || !text.heading_path || !text.keywords || !text.path ||
                        !text.content)
                        return failure_out_of_memory(failure);
                r = term_index_add(index, sqlite3_column_int64(chunks, 0),
                        (uint64_t) sqlite3_column_int64(chunks, 1), &text, failure);
                if (r < 0)
                        return r;
        }
        if (code != SQLITE_DONE)
                return sqlite_failure(db, failure, "read chunks");
        return term_index_apply(index, failure);
}
