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

static inline int index_compare_lines(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static inline sqlite3_stmt *index_prepare(sqlite3 *db, const char *sql) {
        sqlite3_stmt *statement = NULL;

        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sqlite3_errmsg(db), sql);
        return statement;
}

/* "chunk 7 of 12 words: glass=17 scale=33": by the text of the terms. */
static inline void index_dump_vector(sqlite3_stmt *vector, sqlite3_stmt *term, FILE *stream) {
        struct PostingReader reader = posting_reader(
                sqlite3_column_blob(vector, 2), (size_t) sqlite3_column_bytes(vector, 2));
        struct Posting posting;
        char **lines = NULL;
        size_t n = 0;
        int r;

        while ((r = posting_read(&reader, &posting)) > 0) {
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
        (void) fprintf(stream, "chunk %" PRIi64 " of %" PRIi64 " words:",
                (int64_t) sqlite3_column_int64(vector, 0),
                (int64_t) sqlite3_column_int64(vector, 1));
        for (size_t i = 0; i < n; i++) {
                (void) fprintf(stream, " %s", lines[i]);
                free(lines[i]);
        }
        (void) fputc('\n', stream);
        free(lines);
}

static inline void index_dump_rows(sqlite3 *db, const char *sql, FILE *stream) {
        _cleanup_statement_ sqlite3_stmt *rows = index_prepare(db, sql);

        while (sqlite3_step(rows) == SQLITE_ROW)
                (void) fprintf(stream, "%s\n", (const char *) sqlite3_column_text(rows, 0));
}

/* Caller frees. */
static inline char *index_dump(sqlite3 *db) {
        _cleanup_statement_ sqlite3_stmt *term =
                index_prepare(db, "SELECT term FROM terms WHERE id = ?1");
        _cleanup_statement_ sqlite3_stmt *vectors = index_prepare(
                db, "SELECT chunk_id, length, data FROM chunk_terms ORDER BY chunk_id");
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
        while (sqlite3_step(vectors) == SQLITE_ROW)
                index_dump_vector(vectors, term, stream);
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

/* `db` may write; it is left as it was. */
static inline void assert_index_is_of_its_chunks(sqlite3 *db) {
        _cleanup_free_ char *kept = index_dump(db), *rebuilt = index_dump_rebuilt(db);

        assert_string_equal(kept, rebuilt);
}
