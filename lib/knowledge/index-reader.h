/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What asking the index takes, kept from one question to the next: prepared statements, an analyzer
 * with the words that it has met, and facts about terms, as long as nobody changes the database.
 * It belongs to a connection, and to its thread.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/knowledge/analyzer.h"
#include "lib/knowledge/term-vector.h"

struct IndexReader;

/* `db` must outlive it. -ENOMEM. */
int index_reader_new(sqlite3 *db, struct IndexReader **ret_reader);
struct IndexReader *index_reader_free(struct IndexReader *reader);
DEFINE_POINTER_CLEANUP(struct IndexReader *, index_reader_free)
#define _cleanup_index_reader_ _cleanup_(index_reader_freep)

sqlite3 *index_reader_database(struct IndexReader *reader);

/* A statement of `sql`, a literal, prepared the first time. The caller resets it after each use
 * (`_cleanup_reset_`), and does not use it twice at the same time. */
int index_reader_prepare(struct IndexReader *reader, const char *sql, sqlite3_stmt **ret_statement,
        struct Failure *failure);

/* To be called first in a transaction: forgets what was true in another state of the database. */
int index_reader_begin(struct IndexReader *reader, struct Failure *failure);
/* Of the collection, since index_reader_begin(). */
const struct Bm25 *index_reader_bm25(const struct IndexReader *reader);

/* A term in the index. */
struct KnownWord {
        int64_t id;      /* 0: there is none such */
        uint64_t chunks; /* that it is in, > 0 where there is one */
};

/* DATABASE_INVALID. */
int index_reader_find(struct IndexReader *reader, const char *term, size_t size,
        struct KnownWord *ret_word, struct Failure *failure);

struct TermFacts {
        uint64_t chunks; /* that it is in, > 0 */
        size_t size;     /* bytes of the term */
};

/* `id` is one that the index names. DATABASE_INVALID. */
int index_reader_term(struct IndexReader *reader, int64_t id, struct TermFacts *ret_facts,
        struct Failure *failure);

/* -ENOMEM. The reader's own. */
int index_reader_analyzer(struct IndexReader *reader, struct Analyzer **ret_analyzer);
