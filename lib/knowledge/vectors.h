/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The two servers that vectors need, as atocore.conf names them, for who asks them something. One
 * for all threads of a process. Nothing is loaded or connected before the first question.
 */

#include "lib/base/config.h"
#include "lib/knowledge/chroma.h"
#include "lib/knowledge/embedding.h"

#define VECTORS_PAUSE_SECONDS                                                                      \
        5 /* of the clock, in which a server that failed is not asked again                        \
           */

struct Vectors;

/* *ret_vectors is NULL where none are configured. CONFIG_INVALID for a credential embedding-api-key
 * that is none. `config` must outlive it. */
int vectors_open(
        const struct Config *config, struct Vectors **ret_vectors, struct Failure *failure);
struct Vectors *vectors_close(struct Vectors *vectors);
DEFINE_POINTER_CLEANUP(struct Vectors *, vectors_close)
#define _cleanup_vectors_ _cleanup_(vectors_closep)

/* Speaks HTTP by this function, and loads none. Before the first question. */
void vectors_speak_by(struct Vectors *vectors, HttpRequestFunction *request);

/* For who asks them himself, an ingest. VECTORS_FAILED where HTTP cannot be spoken. */
int vectors_connect(struct Vectors *vectors, const struct Operation *operation,
        uint64_t deadline_ms, struct Chroma *ret_chroma, struct Embedder *ret_embedder,
        struct Failure *failure);
/* Whether the collection was made for this database and this model, and its vectors are of a
 * dimension that there is; else why not. */
int vectors_check_collection(const struct Vectors *vectors,
        const struct ChromaCollection *collection, const char *store, struct Failure *failure);

/* The `n` chunks whose vectors are nearest to that of the prompt, within vector_timeout_ms=; the
 * caller frees. `store` is the store_id of the database, "" where it has none; `directories` as of
 * chroma_query(). After a failure nobody is asked for VECTORS_PAUSE_SECONDS: it is the same one at
 * once. A change for the worse or the better is a notice of the operation: VECTORS_UNAVAILABLE,
 * VECTORS_BACK. */
int vectors_search(struct Vectors *vectors, const struct Operation *operation, const char *store,
        const char *prompt, size_t n, char *const *directories, struct ChromaRecord **ret_records,
        size_t *ret_n, struct Failure *failure);

/* How many vectors there are, found out in the same way and within 3 seconds. While a failure
 * stands, a search is tried first, within the same 3 seconds: that vectors can be counted is not
 * all. */
int vectors_count(struct Vectors *vectors, const struct Operation *operation, const char *store,
        uint64_t *ret_n, struct Failure *failure);
