/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The collection of AtoCore in a Chroma server, by its HTTP API v2
 * (https://docs.trychroma.com/reference): one record for each chunk, under the chunk's id, with its
 * vector, the digest of what was embedded, and the directory of its document. The text stays in the
 * database. Who the collection belongs to, and what it was made with, stands in its metadata.
 *
 * All failures are VECTORS_FAILED with a code of vector-failure.h, OUT_OF_MEMORY or INTERRUPTED.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/digest.h"
#include "lib/base/http-module.h"

#define CHROMA_COLLECTION "atocore"
#define CHROMA_TOKEN_SIZE 33 /* 32 hex digits and a NUL */
#define CHROMA_PAGE       5000

struct Chroma {
        HttpRequestFunction *request;
        const struct Operation *operation;
        const char *url;
        uint64_t deadline_ms; /* of each request */
};

struct ChromaCollection {
        char id[64];
        char *model;                   /* of embedding; owned */
        uint64_t dimension;            /* of its vectors; 0: it says none that is a number */
        char store[CHROMA_TOKEN_SIZE]; /* whose it is: `store_id` of the database; "" nobody's */
        char token[CHROMA_TOKEN_SIZE]; /* of the run that last wrote to it */
};

void chroma_collection_clear(struct ChromaCollection *collection);
#define _cleanup_chroma_collection_ _cleanup_(chroma_collection_clear)

/* *ret_found false: there is none. */
int chroma_find(const struct Chroma *chroma, bool *ret_found,
        struct ChromaCollection *ret_collection, struct Failure *failure);
/* With all but the id, which is found out. One that is there by now is taken as it is. */
int chroma_create(
        const struct Chroma *chroma, struct ChromaCollection *collection, struct Failure *failure);
/* Writes what the metadata is to be. */
int chroma_describe(const struct Chroma *chroma, const struct ChromaCollection *collection,
        struct Failure *failure);
int chroma_drop(const struct Chroma *chroma, struct Failure *failure);

int chroma_count(const struct Chroma *chroma, const struct ChromaCollection *collection,
        uint64_t *ret_n, struct Failure *failure);

struct ChromaRecord {
        int64_t id;
        char digest[DIGEST_HEX_SIZE]; /* "" where it has none, or was not asked for */
};

/* At most CHROMA_PAGE records from `offset` on, in no order that means anything; the caller frees.
 * vector_store_failed for more, and for a record that no AtoCore has written. */
int chroma_list(const struct Chroma *chroma, const struct ChromaCollection *collection,
        uint64_t offset, bool digests, struct ChromaRecord **ret_records, size_t *ret_n,
        struct Failure *failure);

struct ChromaEntry {
        struct ChromaRecord record;
        const char *directory;
        const float *vector; /* of the collection's dimension */
};

int chroma_upsert(const struct Chroma *chroma, const struct ChromaCollection *collection,
        const struct ChromaEntry *entries, size_t n, struct Failure *failure);
int chroma_delete(const struct Chroma *chroma, const struct ChromaCollection *collection,
        const int64_t *ids, size_t n, struct Failure *failure);

/* The `n` records nearest to `vector`, nearest first; the caller frees. `directories` NULL: of all,
 * else at least one, NULL-terminated. -ENOENT with VECTOR_EMPTY when the collection is gone. */
int chroma_query(const struct Chroma *chroma, const struct ChromaCollection *collection,
        const float *vector, size_t n, char *const *directories, struct ChromaRecord **ret_records,
        size_t *ret_n, struct Failure *failure);
