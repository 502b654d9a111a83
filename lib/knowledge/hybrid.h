/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Retrieval by words and by vectors, fused by reciprocal rank (fuse.h). Without vectors, or where
 * they cannot be had in time, it is the one by words, and the answer says why.
 *
 * Servers are asked before the read transaction: none is held open for them. What they say is only
 * believed where the chunk is there, and its text is the one that was embedded.
 */

#include <sqlite3.h>

#include "lib/knowledge/lexical.h"
#include "lib/knowledge/retrieve.h"
#include "lib/knowledge/vectors.h"

#define HYBRID_DIRECTORIES_MAX 10000 /* of one project, named to the vector store */

struct VectorHits {
        struct ChromaRecord *list; /* nearest first */
        size_t n;
};

/* retrieve() where `vectors` is NULL. */
int hybrid_retrieve(const struct Operation *operation, struct Vectors *vectors, struct Store *store,
        const struct Project *project, const char *prompt, size_t top_k,
        struct Retrieval **ret_retrieval, struct Failure *failure);

/* For retrieve.c, in its read transaction; both leave all as it is where `hits` is NULL. How deep
 * the ranking by words must be to give the best `top_k` of both: */
size_t hybrid_depth(const struct VectorHits *hits, size_t top_k);
/* The ranking by words becomes that of both. Hits that are stale go into the retrieval. */
int hybrid_fuse(sqlite3 *db, const struct Project *project, const struct VectorHits *hits,
        size_t top_k, struct Ranking *ranking, struct Retrieval *retrieval,
        struct Failure *failure);
