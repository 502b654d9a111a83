/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * An open connection to the live database, with the store lock held as long as it is open, and the
 * counts that /stats and /projects show.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/operation.h"
#include "lib/base/sqlite.h"
#include "lib/knowledge/index-reader.h"
#include "lib/knowledge/registry.h"

struct Store;

/* SQLITE_MODE_READ: the schema must be current, else DATABASE_FOREIGN, DATABASE_TOO_NEW or
 * DATABASE_INVALID; query only. SQLITE_MODE_WRITE: the database must exist; it is migrated.
 * SQLITE_MODE_CREATE: created when absent (with data/locks and data/db), then migrated; a commit of
 * a writer is on disk when it returns. Without a storage root: STORAGE_ROOT_MISSING (-ENOENT). */
int store_open(const struct Operation *operation, enum SqliteMode mode, struct Store **ret_store,
        struct Failure *failure);
/* How much of the database the connection may keep in memory, if that helps. Little until then: the
 * page cache of the kernel is behind all of them. */
int store_set_cache(struct Store *store, uint64_t bytes, struct Failure *failure);
/* Whether the path of the database leads to another file by now, or to none: what is written into
 * this store from here on is read by nobody. */
bool store_has_moved(struct Store *store);
struct Store *store_close(struct Store *store);
DEFINE_POINTER_CLEANUP(struct Store *, store_close)
#define _cleanup_store_ _cleanup_(store_closep)

sqlite3 *store_database(struct Store *store);
struct IndexReader *store_index_reader(struct Store *store);

struct StoreCounts {
        uint64_t documents;
        uint64_t chunks;
        uint64_t interactions;
        uint64_t memories; /* rows of a `memories` table, where the database has one */
        uint64_t database_bytes;
        int64_t last_ingest_at; /* 0: never */
};

int store_counts(struct Store *store, struct StoreCounts *ret_counts, struct Failure *failure);
/* Whether there is a document of the source: 1 or 0. */
int store_has_documents(struct Store *store, const char *source, struct Failure *failure);
int store_project_counts(struct Store *store, const struct Project *project,
        uint64_t *ret_documents, uint64_t *ret_chunks, struct Failure *failure);
