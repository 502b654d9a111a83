/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/term-index.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/analyzer.h"
#include "lib/knowledge/posting.h"
#include "lib/knowledge/term-lists.h"
#include "lib/knowledge/term-table.h"

/* What a rebuild gathers before it writes: chunks of some MB. */
#define REBUILD_CHUNKS 4000

/* Whose ids are kept from one apply to the next: what a large vault has. */
#define KNOWN_TERMS_MAX 200000

enum Statement {
        FIND_TERM,
        INSERT_TERM,
        COUNT_TERM,
        DELETE_UNUSED_TERM,
        SELECT_VECTOR,
        INSERT_VECTOR,
        DELETE_VECTOR,
        COUNT,
        STATEMENT_COUNT,
};

static const char *const statement_texts[STATEMENT_COUNT] = {
        [FIND_TERM] = "SELECT id FROM terms WHERE term = ?1",
        [INSERT_TERM] = "INSERT INTO terms (term, chunks) VALUES (?1, 0)",
        [COUNT_TERM] = "UPDATE terms SET chunks = chunks + ?2 WHERE id = ?1",
        [DELETE_UNUSED_TERM] = "DELETE FROM terms WHERE id = ?1 AND chunks <= 0",
        [SELECT_VECTOR] = "SELECT length, data FROM chunk_terms WHERE chunk_id = ?1",
        [INSERT_VECTOR] = "INSERT INTO chunk_terms (chunk_id, length, data) VALUES (?1, ?2, ?3)",
        [DELETE_VECTOR] = "DELETE FROM chunk_terms WHERE chunk_id = ?1",
        [COUNT] = "INSERT INTO state (key, value) VALUES ('index_chunks', ?1), ('index_length', ?2)"
                  " ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
};

struct AddedChunk {
        int64_t id;
        uint32_t length;
        struct PostingWriter vector;
};

/* A term in a chunk that is to be added. */
struct Occurrence {
        uint32_t term;  /* its number in the table */
        uint32_t added; /* its chunk's */
        uint8_t weight;
};

/* One per term of the table. */
struct Counted {
        int64_t id;         /* 0: not known yet */
        uint32_t frequency; /* in the chunk that is being added; 0 in between */
        uint32_t chunks;    /* of those that wait */
};

struct TermIndex {
        sqlite3 *db;
        sqlite3_stmt *statements[STATEMENT_COUNT];
        struct Analyzer *analyzer;

        struct TermTable terms; /* stays from one apply to the next, for the ids */
        struct Counted *counted;
        size_t n_counted;
        uint32_t *met; /* the terms of the chunk that is being added */
        size_t n_met, met_allocated;

        struct AddedChunk *added;
        size_t n_added, added_allocated;
        struct Occurrence *occurrences; /* chunk by chunk */
        size_t n_occurrences, occurrences_allocated;
        struct ListedChunk *removed;
        size_t n_removed, removed_allocated;
        struct TermLists lists;

        int64_t change_chunks, change_length; /* in the totals */
};

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

int term_index_open(sqlite3 *db, struct TermIndex **ret_index, struct Failure *failure) {
        struct TermIndex *index = calloc(1, sizeof *index);
        int r;

        if (!index)
                return failure_out_of_memory(failure);
        index->db = db;
        r = analyzer_new(&index->analyzer) < 0 ? failure_out_of_memory(failure) : 0;
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
        (void) analyzer_free(index->analyzer);
        term_table_clear(&index->terms);
        for (size_t i = 0; i < index->n_added; i++)
                posting_writer_clear(&index->added[i].vector);
        free(index->counted);
        free(index->met);
        free(index->added);
        free(index->occurrences);
        free(index->removed);
        term_lists_close(&index->lists);
        free(index);
        return NULL;
}

static void reset(sqlite3_stmt **statement) {
        (void) sqlite3_reset(*statement);
        (void) sqlite3_clear_bindings(*statement);
}
#define _cleanup_reset_ _cleanup_(reset)

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

/* Gathering. */

static int grow_counted(struct TermIndex *index) {
        size_t n = index->terms.allocated;
        struct Counted *counted = reallocarray(index->counted, n, sizeof *counted);

        if (!counted)
                return -ENOMEM;
        memset(counted + index->n_counted, 0, (n - index->n_counted) * sizeof *counted);
        index->counted = counted;
        index->n_counted = n;
        return 0;
}

struct Field {
        struct TermIndex *index;
        uint32_t weight;
        uint64_t length;
};

static int count_term(void *userdata, const char *term, size_t size, size_t start, size_t end) {
        struct Field *field = userdata;
        struct TermIndex *index = field->index;
        struct Counted *counted;
        size_t number;
        int r;

        (void) start;
        (void) end;
        r = term_table_put(&index->terms, term, size, &number);
        if (r >= 0 && number >= index->n_counted)
                r = grow_counted(index);
        if (r >= 0)
                r = grow(&index->met, &index->met_allocated, index->n_met, sizeof *index->met);
        if (r < 0)
                return r;
        counted = &index->counted[number];
        if (counted->frequency == 0)
                index->met[index->n_met++] = (uint32_t) number;
        if (counted->frequency < UINT32_MAX - field->weight)
                counted->frequency += field->weight;
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
                r = analyze(field->index->analyzer, ANALYZE_INDEX, parts[i].text, parts[i].size,
                        count_term, field);
        }
        return r;
}

static int keep_counts(struct TermIndex *index, uint32_t length) {
        for (size_t i = 0; i < index->n_met; i++) {
                struct Counted *counted = &index->counted[index->met[i]];

                if (grow(&index->occurrences, &index->occurrences_allocated, index->n_occurrences,
                            sizeof *index->occurrences) < 0)
                        return -ENOMEM;
                index->occurrences[index->n_occurrences++] = (struct Occurrence){ index->met[i],
                        (uint32_t) index->n_added, posting_weight(counted->frequency, length) };
                counted->chunks++;
        }
        return 0;
}

int term_index_add(struct TermIndex *index, int64_t chunk, const struct IndexedText *text,
        struct Failure *failure) {
        struct Field field = { .index = index };
        uint32_t length;
        int r;

        r = grow(&index->added, &index->added_allocated, index->n_added, sizeof *index->added);
        if (r >= 0)
                r = count_texts(&field, text);
        length = field.length < UINT32_MAX ? (uint32_t) field.length : UINT32_MAX;
        if (r >= 0)
                r = keep_counts(index, length);
        for (size_t i = 0; i < index->n_met; i++)
                index->counted[index->met[i]].frequency = 0;
        index->n_met = 0;
        if (r < 0)
                return failure_out_of_memory(failure);
        index->added[index->n_added++] = (struct AddedChunk){ .id = chunk, .length = length };
        index->change_chunks++;
        index->change_length += length;
        return 0;
}

int term_index_remove(struct TermIndex *index, int64_t chunk, struct Failure *failure) {
        sqlite3_stmt *select _cleanup_reset_ = index->statements[SELECT_VECTOR];
        struct PostingReader reader;
        struct Posting posting;
        int r;

        if (index->n_added > 0 && chunk >= index->added[0].id) { /* it waits itself */
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
        reader = posting_reader(
                sqlite3_column_blob(select, 1), (size_t) sqlite3_column_bytes(select, 1));
        while ((r = posting_read(&reader, &posting)) > 0) {
                if (grow(&index->removed, &index->removed_allocated, index->n_removed,
                            sizeof *index->removed) < 0)
                        return failure_out_of_memory(failure);
                index->removed[index->n_removed++] =
                        (struct ListedChunk){ (int64_t) posting.key, chunk };
        }
        if (r < 0)
                return term_index_damaged(index->db, failure);
        index->change_chunks--;
        index->change_length -= sqlite3_column_int64(select, 0);
        return run_on(index, DELETE_VECTOR, chunk, 0, failure);
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
                        r = run_on(index, COUNT_TERM, first->term, -(int64_t) length, failure);
                if (r >= 0)
                        r = run_on(index, DELETE_UNUSED_TERM, first->term, 0, failure);
                if (r < 0)
                        return r;
                unused += sqlite3_changes64(index->db);
        }
        /* Their ids may be given to others. */
        for (size_t i = 0; unused > 0 && i < index->terms.n; i++)
                index->counted[i].id = 0;
        return 0;
}

/* Adding. */

static int find_id(struct TermIndex *index, size_t number, struct Failure *failure) {
        sqlite3_stmt *find _cleanup_reset_ = index->statements[FIND_TERM];
        sqlite3_stmt *insert _cleanup_reset_ = index->statements[INSERT_TERM];
        const char *term = term_table_text(&index->terms, number);
        int size = (int) index->terms.terms[number].size, code, r;

        if (index->counted[number].id > 0)
                return 0;
        if (sqlite3_bind_text(find, 1, term, size, SQLITE_STATIC) != SQLITE_OK ||
                sqlite3_bind_text(insert, 1, term, size, SQLITE_STATIC) != SQLITE_OK)
                return failure_out_of_memory(failure);
        code = sqlite3_step(find);
        if (code == SQLITE_ROW) {
                index->counted[number].id = sqlite3_column_int64(find, 0);
                return 0;
        }
        if (code != SQLITE_DONE)
                return sqlite_failure(index->db, failure, "read the index");
        r = step(index, insert, failure);
        index->counted[number].id = sqlite3_last_insert_rowid(index->db);
        return r;
}

struct Ordered {
        int64_t id;
        uint32_t term;
        size_t end; /* of its postings, among all */
};

static int compare_ordered(const void *a, const void *b) {
        const struct Ordered *x = a, *y = b;

        return x->id < y->id ? -1 : x->id > y->id;
}

/* The terms that wait, by id: each list and vector is written in one go. */
static int order_terms(struct TermIndex *index, struct Ordered **ret_ordered, size_t *ret_n,
        struct Failure *failure) {
        _cleanup_free_ struct Ordered *ordered = calloc(index->terms.n + 1, sizeof *ordered);
        size_t n = 0, end = 0;

        if (!ordered)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < index->terms.n; i++) {
                int r = index->counted[i].chunks > 0 ? find_id(index, i, failure) : 0;

                if (r < 0)
                        return r;
                if (index->counted[i].chunks > 0)
                        ordered[n++] = (struct Ordered){ index->counted[i].id, (uint32_t) i, 0 };
        }
        if (n > 1)
                qsort(ordered, n, sizeof *ordered, compare_ordered);
        for (size_t i = 0; i < n; i++)
                ordered[i].end = end += index->counted[ordered[i].term].chunks;
        *ret_ordered = STEAL(ordered);
        *ret_n = n;
        return 0;
}

/* The occurrences by term; within one they stay in the order of their chunks. */
static struct Occurrence *order_occurrences(
        const struct TermIndex *index, const struct Ordered *ordered, size_t n) {
        struct Occurrence *sorted = calloc(index->n_occurrences + 1, sizeof *sorted);
        _cleanup_free_ size_t *at = calloc(index->terms.n + 1, sizeof *at);

        if (!sorted || !at) {
                free(sorted);
                return NULL;
        }
        for (size_t i = 0; i < n; i++)
                at[ordered[i].term] = ordered[i].end - index->counted[ordered[i].term].chunks;
        for (size_t i = 0; i < index->n_occurrences; i++)
                sorted[at[index->occurrences[i].term]++] = index->occurrences[i];
        return sorted;
}

static int append(struct TermIndex *index, int64_t term, const struct Occurrence *occurrences,
        size_t n, struct Failure *failure) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n;) {
                int64_t window = index->added[occurrences[i].added].id / TERM_WINDOW;

                r = term_lists_read(&index->lists, term, window, NULL, 0, failure);
                for (; r >= 0 && i < n; i++) {
                        struct AddedChunk *chunk = &index->added[occurrences[i].added];

                        if (chunk->id / TERM_WINDOW != window)
                                break;
                        if (posting_append(&index->lists.list, (uint64_t) chunk->id % TERM_WINDOW,
                                    occurrences[i].weight) < 0 ||
                                posting_append(
                                        &chunk->vector, (uint64_t) term, occurrences[i].weight) < 0)
                                return failure_out_of_memory(failure);
                }
                if (r >= 0)
                        r = term_lists_write(&index->lists, term, window, failure);
        }
        return r < 0 ? r : run_on(index, COUNT_TERM, term, (int64_t) n, failure);
}

static int write_vector(
        struct TermIndex *index, const struct AddedChunk *chunk, struct Failure *failure) {
        sqlite3_stmt *insert _cleanup_reset_ = index->statements[INSERT_VECTOR];

        if (sqlite3_bind_int64(insert, 1, chunk->id) != SQLITE_OK ||
                sqlite3_bind_int64(insert, 2, chunk->length) != SQLITE_OK ||
                sqlite3_bind_blob64(insert, 3,
                        chunk->vector.size > 0 ? (const void *) chunk->vector.data : "",
                        chunk->vector.size, SQLITE_STATIC) != SQLITE_OK)
                return failure_out_of_memory(failure);
        return step(index, insert, failure);
}

static int apply_added(struct TermIndex *index, struct Failure *failure) {
        _cleanup_free_ struct Ordered *ordered = NULL;
        _cleanup_free_ struct Occurrence *occurrences = NULL;
        size_t n = 0, first = 0;
        int r;

        if (index->n_added == 0)
                return 0;
        r = order_terms(index, &ordered, &n, failure);
        if (r < 0)
                return r;
        occurrences = order_occurrences(index, ordered, n);
        if (!occurrences)
                return failure_out_of_memory(failure);
        for (size_t i = 0; r >= 0 && i < n; i++) {
                r = append(
                        index, ordered[i].id, occurrences + first, ordered[i].end - first, failure);
                first = ordered[i].end;
        }
        for (size_t i = 0; r >= 0 && i < index->n_added; i++)
                r = write_vector(index, &index->added[i], failure);
        return r;
}

/* The ids of terms stay known, if they are not too many. */
static void forget(struct TermIndex *index) {
        for (size_t i = 0; i < index->n_added; i++)
                posting_writer_clear(&index->added[i].vector);
        for (size_t i = 0; i < index->terms.n && i < index->n_counted; i++)
                index->counted[i].chunks = 0;
        if (index->terms.n > KNOWN_TERMS_MAX) {
                memset(index->counted, 0, index->n_counted * sizeof *index->counted);
                term_table_reset(&index->terms);
        }
        index->n_added = 0;
        index->n_occurrences = 0;
        index->n_removed = 0;
        index->change_chunks = 0;
        index->change_length = 0;
}

int term_index_apply(struct TermIndex *index, struct Failure *failure) {
        int r;

        r = apply_removed(index, failure);
        if (r >= 0)
                r = apply_added(index, failure);
        if (r >= 0)
                r = run_on(index, COUNT, index->change_chunks, index->change_length, failure);
        forget(index);
        return r;
}

/* All of it is gathered in the order of the ids, so that each list is only appended to. */
int term_index_rebuild(sqlite3 *db, struct Failure *failure) {
        _cleanup_term_index_ struct TermIndex *index = NULL;
        _cleanup_statement_ sqlite3_stmt *chunks = NULL;
        int r, code;

        r = sqlite_execute(db,
                "DELETE FROM postings; DELETE FROM chunk_terms; DELETE FROM terms;"
                "DELETE FROM state WHERE key IN ('index_chunks', 'index_length')",
                failure);
        if (r >= 0)
                r = term_index_open(db, &index, failure);
        if (r >= 0)
                r = sqlite_prepare(db,
                        "SELECT chunks.id, chunks.title, heading_path, keywords, path, content"
                        " FROM chunks JOIN documents ON documents.id = document_id"
                        " ORDER BY chunks.id",
                        &chunks, failure);
        if (r < 0)
                return r;
        while ((code = sqlite3_step(chunks)) == SQLITE_ROW) {
                struct IndexedText text = {
                        .title = (const char *) sqlite3_column_text(chunks, 1),
                        .heading_path = (const char *) sqlite3_column_text(chunks, 2),
                        .keywords = (const char *) sqlite3_column_text(chunks, 3),
                        .path = (const char *) sqlite3_column_text(chunks, 4),
                        .content = (const char *) sqlite3_column_text(chunks, 5),
                        .content_size = (size_t) sqlite3_column_bytes(chunks, 5),
                };

                if (!text.title || !text.heading_path || !text.keywords || !text.path ||
                        !text.content)
                        return failure_out_of_memory(failure);
                r = term_index_add(index, sqlite3_column_int64(chunks, 0), &text, failure);
                if (r >= 0 && index->n_added == REBUILD_CHUNKS)
                        r = term_index_apply(index, failure);
                if (r < 0)
                        return r;
        }
        if (code != SQLITE_DONE)
                return sqlite_failure(db, failure, "read chunks");
        return term_index_apply(index, failure);
}
