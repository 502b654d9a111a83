/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Database and vector store side by side: which chunks have no vector, which vectors no chunk.
 */

#include <sqlite3.h>
#include <stdbool.h>

#include "lib/knowledge/chroma.h"

struct VectorDifference {
        int64_t *missing; /* chunks without a vector, or with one of another text; ascending */
        size_t n_missing;
        int64_t *extra; /* vectors without a chunk; ascending */
        size_t n_extra;
};

void vector_difference_clear(struct VectorDifference *difference);

/* By ids, which takes one pass over either; with `digests` also by what was embedded, which reads
 * each text. All of the collection's records are held in memory meanwhile, about 80 bytes for one.
 * vector_store_failed for a server that lists them without end. */
int vector_compare(const struct Chroma *chroma, const struct ChromaCollection *collection,
        sqlite3 *db, bool digests, struct VectorDifference *ret_difference,
        struct Failure *failure);
