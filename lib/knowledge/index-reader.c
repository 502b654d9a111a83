/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/index-reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/sqlite.h"

struct IndexReader {
        sqlite3 *db;
        sqlite3_stmt **statements;
        size_t n_statements;
        struct Analyzer *analyzer; /* NULL: nothing was analyzed yet */
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
