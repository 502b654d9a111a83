/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/index-reader.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/term-index.h"
#include "lib/knowledge/term-table.h"

#define WORDS_MAX 4096

/* A term is where its id, divided by this, leaves it, until another one takes that place. */
#define TERMS 4096

struct KnownTerm {
        int64_t id; /* 0: none */
        struct TermFacts facts;
};

struct IndexReader {
        sqlite3 *db;
        sqlite3_stmt **statements;
        size_t n_statements;
        struct Analyzer *analyzer; /* NULL: nothing was analyzed yet */

        /* Of one state of the database. */
        bool is_known;
        uint32_t version;
        struct Bm25 bm25;
        struct KnownTerm *terms;  /* NULL: none was asked for yet */
        struct TermTable words;   /* that were looked for, WORDS_MAX at most … */
        struct KnownWord *founds; /* … and what was found of each */
};

int index_reader_new(sqlite3 *db, struct IndexReader **ret_reader) {
        struct IndexReader *reader = calloc(1, sizeof *reader);

        if (!reader)
                return -ENOMEM;
        reader->db = db;
        *ret_reader = reader;
        return 0;
}

struct IndexReader *index_reader_free(struct IndexReader *reader) {
        if (!reader)
                return NULL;
        for (size_t i = 0; i < reader->n_statements; i++)
                (void) sqlite3_finalize(reader->statements[i]);
        free(reader->statements);
        free(reader->terms);
        free(reader->founds);
        term_table_clear(&reader->words);
        (void) analyzer_free(reader->analyzer);
        free(reader);
        return NULL;
}

sqlite3 *index_reader_database(struct IndexReader *reader) {
        return reader->db;
}

int index_reader_prepare(struct IndexReader *reader, const char *sql, sqlite3_stmt **ret_statement,
        struct Failure *failure) {
        sqlite3_stmt **more;
        int r;

        for (size_t i = 0; i < reader->n_statements; i++)
                if (strcmp(sqlite3_sql(reader->statements[i]), sql) == 0) {
                        *ret_statement = reader->statements[i];
                        return 0;
                }
        more = reallocarray(reader->statements, reader->n_statements + 1, sizeof *more);
        if (!more)
                return failure_out_of_memory(failure);
        reader->statements = more;
        r = sqlite_prepare(reader->db, sql, &more[reader->n_statements], failure);
        if (r < 0)
                return r;
        *ret_statement = more[reader->n_statements++];
        return 0;
}

int index_reader_analyzer(struct IndexReader *reader, struct Analyzer **ret_analyzer) {
        if (!reader->analyzer) {
                int r = analyzer_new(&reader->analyzer);

                if (r < 0)
                        return r;
        }
        *ret_analyzer = reader->analyzer;
        return 0;
}

/* Reading is what opens the transaction; only then its state has a version. */
int index_reader_begin(struct IndexReader *reader, struct Failure *failure) {
        sqlite3_stmt *totals _cleanup_reset_ = NULL;
        bool writing;
        uint32_t version;
        int r = index_reader_prepare(reader,
                "SELECT (SELECT value FROM state WHERE key = 'index_chunks'),"
                " (SELECT value FROM state WHERE key = 'index_spans'),"
                " (SELECT value FROM state WHERE key = 'index_length')",
                &totals, failure);

        if (r < 0)
                return r;
        if (sqlite3_step(totals) != SQLITE_ROW ||
                sqlite3_file_control(reader->db, "main", SQLITE_FCNTL_DATA_VERSION, &version) !=
                        SQLITE_OK)
                return sqlite_failure(reader->db, failure, "read the index");
        /* What this connection has written and not committed has no version. */
        writing = sqlite3_txn_state(reader->db, "main") == SQLITE_TXN_WRITE;
        if (reader->is_known && reader->version == version && !writing)
                return 0;
        if (reader->terms)
                memset(reader->terms, 0, TERMS * sizeof *reader->terms);
        term_table_reset(&reader->words);
        bm25_set(&reader->bm25,
                &(struct IndexTotals){
                        .chunks = (uint64_t) sqlite3_column_int64(totals, 0),
                        .spans = (uint64_t) sqlite3_column_int64(totals, 1),
                        .length = (uint64_t) sqlite3_column_int64(totals, 2),
                });
        reader->version = version;
        reader->is_known = !writing;
        return 0;
}

const struct Bm25 *index_reader_bm25(const struct IndexReader *reader) {
        return &reader->bm25;
}

static int read_word(struct IndexReader *reader, const char *term, size_t size,
        struct KnownWord *ret_word, struct Failure *failure) {
        sqlite3_stmt *find _cleanup_reset_ = NULL;
        int r = index_reader_prepare(
                reader, "SELECT id, chunks FROM terms WHERE term = ?1", &find, failure);

        if (r < 0)
                return r;
        if (sqlite3_bind_text(find, 1, term, (int) size, SQLITE_STATIC) != SQLITE_OK)
                return failure_out_of_memory(failure);
        switch (sqlite3_step(find)) {
        case SQLITE_ROW:
                break;
        case SQLITE_DONE:
                *ret_word = (struct KnownWord){ 0 };
                return 0;
        default:
                return sqlite_failure(reader->db, failure, "read the index");
        }
        if (sqlite3_column_int64(find, 1) <= 0)
                return term_index_damaged(reader->db, failure);
        *ret_word = (struct KnownWord){
                .id = sqlite3_column_int64(find, 0),
                .chunks = (uint64_t) sqlite3_column_int64(find, 1),
        };
        return 0;
}

int index_reader_find(struct IndexReader *reader, const char *term, size_t size,
        struct KnownWord *ret_word, struct Failure *failure) {
        size_t before, number;
        int r;

        if (!reader->founds)
                reader->founds = calloc(WORDS_MAX, sizeof *reader->founds);
        if (!reader->founds)
                return failure_out_of_memory(failure);
        if (reader->words.n == WORDS_MAX)
                term_table_reset(&reader->words);
        before = reader->words.n;
        r = term_table_put(&reader->words, term, size, &number);
        if (r < 0)
                return failure_out_of_memory(failure);
        if (number == before) {
                r = read_word(reader, term, size, &reader->founds[number], failure);
                if (r < 0) {
                        term_table_reset(&reader->words); /* of this one nothing was found out */
                        return r;
                }
        }
        *ret_word = reader->founds[number];
        return 0;
}

static int read_term(struct IndexReader *reader, int64_t id, struct TermFacts *ret_facts,
        struct Failure *failure) {
        sqlite3_stmt *term _cleanup_reset_ = NULL;
        int r = index_reader_prepare(reader,
                "SELECT chunks, length(CAST(term AS BLOB)) FROM terms WHERE id = ?1", &term,
                failure);

        if (r < 0)
                return r;
        if (sqlite3_bind_int64(term, 1, id) != SQLITE_OK)
                return failure_out_of_memory(failure);
        switch (sqlite3_step(term)) {
        case SQLITE_ROW:
                break;
        case SQLITE_DONE:
                return term_index_damaged(reader->db, failure);
        default:
                return sqlite_failure(reader->db, failure, "read the index");
        }
        if (sqlite3_column_int64(term, 0) <= 0)
                return term_index_damaged(reader->db, failure);
        *ret_facts = (struct TermFacts){
                .chunks = (uint64_t) sqlite3_column_int64(term, 0),
                .size = (size_t) sqlite3_column_int64(term, 1),
        };
        return 0;
}

int index_reader_term(struct IndexReader *reader, int64_t id, struct TermFacts *ret_facts,
        struct Failure *failure) {
        struct KnownTerm *known;

        if (!reader->terms)
                reader->terms = calloc(TERMS, sizeof *reader->terms);
        if (!reader->terms)
                return failure_out_of_memory(failure);
        known = &reader->terms[(uint64_t) id % TERMS];
        if (known->id != id || id == 0) {
                int r = read_term(reader, id, &known->facts, failure);

                known->id = r < 0 ? 0 : id;
                if (r < 0)
                        return r;
        }
        *ret_facts = known->facts;
        return 0;
}
