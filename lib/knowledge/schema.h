/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The tables of atocore.db and the ladder of migrations (PRAGMA user_version). Only a database that
 * bears our application_id, or an empty one, is ever created in or migrated.
 *
 *   documents   one row per ingested file; tags and aliases are JSON arrays of strings
 *   chunks      the text, as written, with its place; ids are never used again, as clients cite
 *               them; heading_path is a JSON array of strings, outermost first; keywords holds the
 *               tags and aliases of the document as plain words, for the index
 *   terms, postings, chunk_terms, span_terms
 *               the lexical index over chunks (term-index.h): who writes chunks writes it too
 *   interactions
 *   state       key → value: "last_ingest_at" (seconds since the epoch), and totals of the index
 *
 * Times are seconds since the epoch unless a name says otherwise.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "lib/base/failure.h"

#define SCHEMA_VERSION 4

/* schema_migrations[n] takes a database of version n to n + 1; version 0 has no tables. A step that
 * was ever released does not change. */
extern const char *const schema_migrations[SCHEMA_VERSION];

enum SchemaState {
        SCHEMA_EMPTY,   /* no table yet, ours to create */
        SCHEMA_CURRENT, /* ours, at SCHEMA_VERSION */
        SCHEMA_OLD,     /* ours, an earlier version */
        SCHEMA_TOO_NEW, /* ours, from a later AtoCore: not touched */
        SCHEMA_FOREIGN, /* written by something else: not touched */
};

/* Reads only. */
int schema_inspect(
        sqlite3 *db, enum SchemaState *ret_state, int64_t *ret_version, struct Failure *failure);

/* The failure for a database that must not be touched or read as ours: DATABASE_FOREIGN,
 * DATABASE_TOO_NEW (-EMEDIUMTYPE); DATABASE_INVALID (-EBADMSG) for one that has yet to be created
 * or migrated. `state` is not SCHEMA_CURRENT. */
int schema_failure(sqlite3 *db, enum SchemaState state, int64_t version, struct Failure *failure);

/* Brings the database to SCHEMA_VERSION in one transaction, and to WAL (a restored one comes
 * without). DATABASE_FOREIGN or DATABASE_TOO_NEW (-EMEDIUMTYPE) when it must not be touched. */
int schema_migrate(sqlite3 *db, struct Failure *failure);
