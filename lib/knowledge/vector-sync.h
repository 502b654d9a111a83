/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The vector store is made to hold a vector for each chunk of the database, and none besides.
 *
 * The database is the truth, vectors are derived from it. A run comes after the texts are
 * committed; what it did not get done, for whatever reason, is found by the next one, which
 * compares the two. So nothing has to be remembered before a server is asked, and a crash anywhere
 * costs nothing:
 *
 *   - find: the collection, by name, and whose it is
 *   - compare: ids with ids; digests too, unless the last run ended well and the collection still
 *     bears its token. Else one of the two was restored meanwhile, or a run was cut off
 *   - write: the collection gets the token of this run, then vectors go and come
 *   - save: the same token in the database. If power goes before that, the tokens differ, and the
 *     next run compares digests too
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/operation.h"

struct VectorResult {
        bool configured;
        uint64_t embedded; /* by the server */
        uint64_t from_cache;
        uint64_t removed;
        uint64_t pending; /* chunks that have no vector yet, or a wrong one */
};

/* Under the ingestion lock, with no transaction open. With `reembed` the collection is made anew.
 * Not configured: nothing. VECTORS_FAILED (with a code of vector-failure.h): *result says how far
 * it came. Failures of the database and INTERRUPTED are those of an ingest. */
int vector_sync(const struct Operation *operation, sqlite3 *db, bool reembed,
        struct VectorResult *result, struct Failure *failure);
