/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The lexical index as text, whatever ids its terms have, and whether it is what its chunks make of
 * it.
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/posting.h"
#include "lib/knowledge/term-index.h"
#include "lib/knowledge/term-vector.h"

static inline int index_compare_lines(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static inline sqlite3_stmt *index_prepare(sqlite3 *db, const char *sql) {
        sqlite3_stmt *statement = NULL;

        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sqlite3_errmsg(db), sql);
        return statement;
}

static inline struct TermVector index_open_vector(sqlite3_stmt *row, int column) {
        struct TermVector vector;

        assert_int_equal(term_vector_open(sqlite3_column_blob(row, column),
                                 (size_t) sqlite3_column_bytes(row, column), &vector),
                0);
        return vector;
}

/* "chunk 7 of 12 words: glass=17 scale=33": by the text of the terms. */
static inline void index_dump_vector(sqlite3_stmt *row, sqlite3_stmt *term, FILE *stream) {
        struct TermVector vector = index_open_vector(row, 1);
        struct Posting posting;
        char **lines = NULL;
        size_t n = 0;
        int r;

        while ((r = posting_read(&vector.terms, &posting)) > 0) {
                lines = reallocarray(lines, n + 1, sizeof *lines);
                (void) sqlite3_reset(term);
                (void) sqlite3_bind_int64(term, 1, (int64_t) posting.key);
                if (sqlite3_step(term) != SQLITE_ROW)
                        fail_msg("A vector names term %" PRIu64 ", which is none", posting.key);
                if (asprintf(&lines[n++], "%s=%u", (const char *) sqlite3_column_text(term, 0),
                            posting.weight) < 0)
                        abort();
        }
        assert_int_equal(r, 0);
        if (n > 1)
                qsort(lines, n, sizeof *lines, index_compare_lines);
        (void) fprintf(stream,
                "%s of %" PRIu64 " words:", (const char *) sqlite3_column_text(row, 0),
                vector.length);
        for (size_t i = 0; i < n; i++) {
                (void) fprintf(stream, " %s", lines[i]);
                free(lines[i]);
        }
        (void) fputc('\n', stream);
        free(lines);
}

/* `sql`: what each is of, and its data. */
static inline void index_dump_vectors(sqlite3 *db, const char *sql, FILE *stream) {
        _cleanup_statement_ sqlite3_stmt *term =
                index_prepare(db, "SELECT term FROM terms WHERE id = ?1");
        _cleanup_statement_ sqlite3_stmt *vectors = index_prepare(db, sql);

        while (sqlite3_step(vectors) == SQLITE_ROW)
                index_dump_vector(vectors, term, stream);
}

static inline void index_dump_rows(sqlite3 *db, const char *sql, FILE *stream) {
        _cleanup_statement_ sqlite3_stmt *rows = index_prepare(db, sql);

        while (sqlite3_step(rows) == SQLITE_ROW)
                (void) fprintf(stream, "%s\n", (const char *) sqlite3_column_text(rows, 0));
}

/* Caller frees. */
static inline char *index_dump(sqlite3 *db) {
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);

        if (!stream)
                abort();
        index_dump_rows(db, "SELECT term || ' in ' || chunks || ' chunks' FROM terms ORDER BY term",
                stream);
        /* A list of no term is a line that no rebuild has. */
        index_dump_rows(db,
                "SELECT coalesce(term, 'no term') || ' in window ' || window || ': ' || hex(data)"
                " FROM postings LEFT JOIN terms ON terms.id = term_id ORDER BY 1",
                stream);
        index_dump_vectors(
                db, "SELECT 'chunk ' || chunk_id, data FROM chunk_terms ORDER BY chunk_id", stream);
        index_dump_vectors(db,
                "SELECT 'span ' || first_chunk || ' to ' || last_chunk, data FROM span_terms"
                " ORDER BY first_chunk",
                stream);
        index_dump_rows(db,
                "SELECT key || ' ' || value FROM state WHERE key LIKE 'index_%' ORDER BY key",
                stream);
        if (fclose(stream) != 0)
                abort();
        return text;
}

static inline char *index_dump_rebuilt(sqlite3 *db) {
        _cleanup_failure_ struct Failure failure = { 0 };
        char *text = NULL;
        int r = sqlite_execute(db, "SAVEPOINT rebuild", &failure);

        if (r >= 0)
                r = term_index_rebuild(db, &failure);
        if (r >= 0)
                text = index_dump(db);
        if (sqlite_execute(db, "ROLLBACK TO rebuild; RELEASE rebuild", NULL) < 0 || r < 0)
                fail_msg("rebuild: %s", failure_message(&failure));
        return text;
}

static inline int64_t index_count(sqlite3 *db, const char *sql) {
        _cleanup_statement_ sqlite3_stmt *count = index_prepare(db, sql);

        assert_int_equal(sqlite3_step(count), SQLITE_ROW);
        return sqlite3_column_int64(count, 0);
}

/* The span's vector is the sum of those of its chunks. `sums`: 0 for each term. */
static inline void assert_span_is_a_sum(sqlite3_stmt *span, sqlite3_stmt *chunks, uint64_t *sums) {
        struct TermVector vector = index_open_vector(span, 2);
        struct Posting posting;
        uint64_t length = 0;
        size_t n_terms = 0;

        (void) sqlite3_reset(chunks);
        (void) sqlite3_bind_int64(chunks, 1, sqlite3_column_int64(span, 0));
        (void) sqlite3_bind_int64(chunks, 2, sqlite3_column_int64(span, 1));
        while (sqlite3_step(chunks) == SQLITE_ROW) {
                struct TermVector chunk = index_open_vector(chunks, 0);

                length += chunk.length;
                while (posting_read(&chunk.terms, &posting) > 0) {
                        n_terms += sums[posting.key] == 0;
                        sums[posting.key] += posting.weight;
                }
        }
        assert_int_equal(vector.length, length);
        while (posting_read(&vector.terms, &posting) > 0) {
                assert_int_equal(posting.weight, sums[posting.key] < 255 ? sums[posting.key] : 255);
                sums[posting.key] = 0;
                n_terms--;
        }
        assert_int_equal(n_terms, 0);
}

/* What is a span follows from the documents alone, and not from how their chunks were written. */
static inline void assert_spans_are_of_the_documents(sqlite3 *db) {
        _cleanup_statement_ sqlite3_stmt *spans = index_prepare(
                db, "SELECT first_chunk, last_chunk, data FROM span_terms ORDER BY first_chunk");
        _cleanup_statement_ sqlite3_stmt *expected = index_prepare(db,
                "SELECT min(id), max(id) FROM chunks GROUP BY document_id, ordinal / 32"
                " HAVING count(*) > 1 ORDER BY 1");
        _cleanup_statement_ sqlite3_stmt *chunks =
                index_prepare(db, "SELECT data FROM chunk_terms WHERE chunk_id BETWEEN ?1 AND ?2");
        size_t n_terms = (size_t) index_count(db, "SELECT coalesce(max(id), 0) FROM terms");
        _cleanup_free_ uint64_t *sums = calloc(n_terms + 1, sizeof *sums);

        while (sqlite3_step(expected) == SQLITE_ROW) {
                assert_int_equal(sqlite3_step(spans), SQLITE_ROW);
                assert_int_equal(sqlite3_column_int64(spans, 0), sqlite3_column_int64(expected, 0));
                assert_int_equal(sqlite3_column_int64(spans, 1), sqlite3_column_int64(expected, 1));
                assert_span_is_a_sum(spans, chunks, sums);
        }
        assert_int_equal(sqlite3_step(spans), SQLITE_DONE);
        assert_int_equal(index_count(db,
                                 "SELECT coalesce((SELECT value FROM state"
                                 " WHERE key = 'index_spans'), 0)"),
                index_count(db,
                        "SELECT count(*) FROM"
                        " (SELECT DISTINCT document_id, ordinal / 32 FROM chunks)"));
}

/* `db` may write; it is left as it was. */
static inline void assert_index_is_of_its_chunks(sqlite3 *db) {
        _cleanup_free_ char *kept = index_dump(db), *rebuilt = index_dump_rebuilt(db);

        assert_string_equal(kept, rebuilt);
        assert_spans_are_of_the_documents(db);
}
