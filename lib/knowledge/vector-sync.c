/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/vector-sync.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/embedded-text.h"
#include "lib/knowledge/embedding-cache.h"
#include "lib/knowledge/vector-compare.h"
#include "lib/knowledge/vector-failure.h"
#include "lib/knowledge/vector-state.h"
#include "lib/knowledge/vectors.h"

#define EMBEDDING_MS 120000 /* a slow machine that embeds a whole batch */
#define STORE_MS     60000
#define DELETE_BATCH 500

struct Sync {
        const struct Operation *operation;
        sqlite3 *db;
        struct VectorResult *result;
        struct Vectors *vectors;
        struct Chroma chroma;
        struct Embedder embedder;
        char store[VECTOR_TOKEN_SIZE];
        struct ChromaCollection collection;
        struct EmbeddingCache *cache;
        sqlite3_stmt *chunk;
        bool writing; /* the collection has the token of this run */
};

static void sync_clear(struct Sync *sync) {
        sync->chunk = sqlite_finalize(sync->chunk);
        sync->cache = embedding_cache_close(sync->cache);
        chroma_collection_clear(&sync->collection);
        sync->vectors = vectors_close(sync->vectors);
}

/* One chunk on its way. */
struct Item {
        char *text;
        char *directory;
        struct ChromaRecord record;
        float *vector; /* in Items.vectors; NULL: the server refused the text */
};

struct Items {
        struct Item items[EMBEDDING_BATCH_MAX];
        size_t n;
        float *vectors; /* room for each */
};

static void items_clear(struct Items *items) {
        for (size_t i = 0; i < items->n; i++) {
                free(items->items[i].text);
                free(items->items[i].directory);
        }
        items->n = 0;
        free(items->vectors);
        items->vectors = NULL;
}

/* -ENOENT: the chunk is gone, which under the ingestion lock nobody does. */
static int read_chunk(struct Sync *sync, int64_t id, struct Item *item, struct Failure *failure) {
        sqlite3_stmt *row = sync->chunk;
        const char *text;

        (void) sqlite3_reset(row);
        if (sqlite3_bind_int64(row, 1, id) != SQLITE_OK || sqlite3_step(row) != SQLITE_ROW)
                return sqlite_failure(sync->db, failure, "read a chunk to embed it");
        text = (const char *) sqlite3_column_text(row, 0);
        item->record.id = id;
        item->text = text ? strdup(text) : NULL;
        text = (const char *) sqlite3_column_text(row, 1);
        item->directory = text ? strdup(text) : NULL;
        (void) sqlite3_reset(row);
        if (!item->text || !item->directory ||
                digest_buffer(item->text, strlen(item->text), item->record.digest) < 0)
                return failure_out_of_memory(failure);
        return 0;
}

static int prepare_chunk(struct Sync *sync, struct Failure *failure) {
        return sqlite_prepare(sync->db,
                "SELECT " EMBEDDED_TEXT ", " DOCUMENT_DIRECTORY
                " FROM chunks JOIN documents ON documents.id = document_id WHERE chunks.id = ?1",
                &sync->chunk, failure);
}

/* Embedding. */

static int embed_items(struct Sync *sync, struct Item **items, size_t n, struct Failure *failure) {
        size_t dimension = (size_t) sync->collection.dimension;
        const char *texts[EMBEDDING_BATCH_MAX] = { 0 };
        _cleanup_free_ float *values = NULL;
        int r;

        for (size_t i = 0; i < n; i++)
                texts[i] = items[i]->text;
        r = embed(sync->operation, &sync->embedder, texts, n, dimension, EMBEDDING_MS, &values,
                &dimension, failure);
        if (r < 0)
                return r;
        if (dimension != sync->collection.dimension)
                return vector_failure(failure, VECTOR_DIMENSION, EBADMSG,
                        "The embedding server %s answered with vectors of %zu numbers, where there "
                        "is room for %" PRIu64 "; run atocore-ingest --reembed",
                        sync->embedder.url, dimension, sync->collection.dimension);
        for (size_t i = 0; i < n; i++) {
                memcpy(items[i]->vector, values + i * dimension, dimension * sizeof *values);
                embedding_cache_put(sync->cache, items[i]->record.digest, items[i]->vector);
                sync->result->embedded++;
        }
        return 0;
}

static int hand_on(int r, struct Failure *cause, struct Failure *failure) {
        if (failure && !failure_is_set(failure))
                failure_move(failure, cause);
        return r;
}

/* One text that the server does not take (too long for the model) must not keep the others from
 * being embedded: one by one, those that it takes. Where it takes none, it is the server. */
static int embed_one_by_one(
        struct Sync *sync, struct Item **items, size_t n, struct Failure *failure) {
        for (size_t i = 0; i < n; i++) {
                _cleanup_failure_ struct Failure cause = { 0 };
                int r = embed_items(sync, &items[i], 1, &cause);

                if (r == -EREMOTEIO && (i + 1 < n || sync->result->embedded > 0))
                        items[i]->vector = NULL;
                else if (r < 0)
                        return hand_on(r, &cause, failure);
        }
        return 0;
}

static int embed_missing(struct Sync *sync, struct Items *items, struct Failure *failure) {
        struct Item *missing[EMBEDDING_BATCH_MAX];
        _cleanup_failure_ struct Failure cause = { 0 };
        size_t n = 0, dimension = (size_t) sync->collection.dimension;
        int r;

        items->vectors = calloc(items->n * dimension, sizeof *items->vectors);
        if (!items->vectors)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < items->n; i++) {
                struct Item *item = &items->items[i];

                item->vector = items->vectors + i * dimension;
                if (embedding_cache_get(sync->cache, item->record.digest, item->vector))
                        sync->result->from_cache++;
                else
                        missing[n++] = item;
        }
        if (n == 0)
                return 0;
        r = embed_items(sync, missing, n, &cause);
        if (r == -EREMOTEIO && (n > 1 || sync->result->embedded > 0))
                return embed_one_by_one(sync, missing, n, failure);
        return r < 0 ? hand_on(r, &cause, failure) : r;
}

/* The collection. */

/* The first vector of all says how many numbers there are in one. */
static int find_dimension(struct Sync *sync, int64_t chunk, struct Failure *failure) {
        _cleanup_(items_clear) struct Items items = { .n = 1 };
        _cleanup_free_ float *values = NULL;
        const char *text;
        size_t dimension;
        int r;

        r = read_chunk(sync, chunk, &items.items[0], failure);
        if (r < 0)
                return r;
        text = items.items[0].text;
        r = embed(sync->operation, &sync->embedder, &text, 1, 0, EMBEDDING_MS, &values, &dimension,
                failure);
        if (r >= 0)
                sync->collection.dimension = dimension;
        return r;
}

static int create_collection(struct Sync *sync, int64_t chunk, struct Failure *failure) {
        int r;

        r = find_dimension(sync, chunk, failure);
        if (r < 0)
                return r;
        sync->collection.model = strdup(sync->embedder.model);
        if (!sync->collection.model)
                return failure_out_of_memory(failure);
        (void) snprintf(sync->collection.store, sizeof sync->collection.store, "%s", sync->store);
        r = chroma_create(&sync->chroma, &sync->collection, failure);
        /* Another may have made one of that name meanwhile. */
        return r < 0
                ? r
                : vectors_check_collection(sync->vectors, &sync->collection, sync->store, failure);
}

/* Before the first change of a run: see the header. */
static int begin_writing(struct Sync *sync, struct Failure *failure) {
        int r;

        if (sync->writing)
                return 0;
        r = vector_token_new(sync->collection.token, failure);
        if (r >= 0)
                r = chroma_describe(&sync->chroma, &sync->collection, failure);
        sync->writing = r >= 0;
        return r;
}

/* Acting on what the comparison found. */

static int delete_extra(
        struct Sync *sync, const struct VectorDifference *difference, struct Failure *failure) {
        for (size_t i = 0; i < difference->n_extra; i += DELETE_BATCH) {
                size_t n = difference->n_extra - i;
                int r;

                n = n < DELETE_BATCH ? n : DELETE_BATCH;
                r = begin_writing(sync, failure);
                if (r >= 0)
                        r = chroma_delete(&sync->chroma, &sync->collection, difference->extra + i,
                                n, failure);
                if (r < 0)
                        return r;
                sync->result->removed += n;
        }
        return 0;
}

static int upsert_items(struct Sync *sync, const struct Items *items, struct Failure *failure) {
        struct ChromaEntry entries[EMBEDDING_BATCH_MAX];
        size_t n = 0;
        int r;

        for (size_t i = 0; i < items->n; i++)
                if (items->items[i].vector)
                        entries[n++] = (struct ChromaEntry){ .record = items->items[i].record,
                                .directory = items->items[i].directory,
                                .vector = items->items[i].vector };
        if (n == 0)
                return 0;
        r = begin_writing(sync, failure);
        if (r >= 0)
                r = chroma_upsert(&sync->chroma, &sync->collection, entries, n, failure);
        if (r >= 0)
                sync->result->pending -= n;
        return r;
}

static int add_missing(
        struct Sync *sync, const struct VectorDifference *difference, struct Failure *failure) {
        sync->result->pending = difference->n_missing;
        for (size_t i = 0; i < difference->n_missing;) {
                _cleanup_(items_clear) struct Items items = { 0 };
                int r;

                r = operation_check(sync->operation, failure);
                for (; r >= 0 && i < difference->n_missing && items.n < EMBEDDING_BATCH_MAX; i++) {
                        items.n++;
                        r = read_chunk(
                                sync, difference->missing[i], &items.items[items.n - 1], failure);
                }
                if (r >= 0)
                        r = embed_missing(sync, &items, failure);
                if (r >= 0)
                        r = upsert_items(sync, &items, failure);
                if (r < 0)
                        return r;
                operation_progress(sync->operation, "Embedding chunks", i, difference->n_missing);
        }
        return 0;
}

static int write_difference(struct Sync *sync, struct VectorState *state,
        const struct VectorDifference *difference, struct Failure *failure) {
        int r;

        if (difference->n_missing > 0 &&
                embedding_cache_open(sync->operation, sync->embedder.model,
                        (size_t) sync->collection.dimension, &sync->cache) < 0)
                return failure_out_of_memory(failure);
        r = delete_extra(sync, difference, failure);
        if (r >= 0)
                r = add_missing(sync, difference, failure);
        /* Also where nothing was to be done: the next run then need not compare. */
        if (r >= 0)
                r = begin_writing(sync, failure);
        if (r < 0)
                return r;
        (void) snprintf(state->token, sizeof state->token, "%s", sync->collection.token);
        state->vectors = state->chunks - (int64_t) sync->result->pending;
        return vector_state_save(sync->db, state, failure);
}

/* A run. */

static bool is_settled(const struct VectorState *saved, const struct VectorState *now) {
        return saved->last_id == now->last_id && saved->chunks == now->chunks;
}

/* `there`: as many vectors as the collection has. */
static int reconcile(struct Sync *sync, uint64_t there, struct Failure *failure) {
        _cleanup_(vector_difference_clear) struct VectorDifference difference = { 0 };
        struct VectorState saved, now = { 0 };
        bool trusted;
        int r;

        r = vector_state_load(sync->db, &saved, failure);
        if (r >= 0)
                r = vector_state_look(sync->db, &now, failure);
        if (r < 0)
                return r;
        trusted = saved.token[0] != '\0' && strcmp(saved.token, sync->collection.token) == 0;
        if (trusted && is_settled(&saved, &now) && there == (uint64_t) saved.vectors) {
                sync->result->pending = (uint64_t) (now.chunks - saved.vectors);
                return 0;
        }
        r = vector_compare(
                &sync->chroma, &sync->collection, sync->db, !trusted, &difference, failure);
        return r < 0 ? r : write_difference(sync, &now, &difference, failure);
}

/* Whether there is one that this run can go on with. Of ours, one that is to be made anew goes, and
 * one without a vector, whose dimension nothing has proven yet. */
static int find_collection(struct Sync *sync, bool reembed, bool *ret_found, uint64_t *ret_there,
        struct Failure *failure) {
        _cleanup_failure_ struct Failure cause = { 0 };
        bool ours;
        int r;

        *ret_there = 0;
        r = chroma_find(&sync->chroma, ret_found, &sync->collection, failure);
        if (r < 0 || !*ret_found)
                return r;
        r = vectors_check_collection(sync->vectors, &sync->collection, sync->store, &cause);
        ours = strcmp(sync->collection.store, sync->store) == 0;
        if (r < 0 && !(reembed && ours))
                return hand_on(r, &cause, failure);
        if (!reembed) {
                r = chroma_count(&sync->chroma, &sync->collection, ret_there, failure);
                if (r < 0 || *ret_there > 0)
                        return r;
        }
        r = chroma_drop(&sync->chroma, failure);
        if (r < 0)
                return r;
        chroma_collection_clear(&sync->collection);
        *ret_found = false;
        return 0;
}

static int run(struct Sync *sync, bool reembed, struct Failure *failure) {
        int64_t chunks, first;
        uint64_t there;
        bool found;
        int r;

        r = sqlite_query_int64(sync->db, "SELECT count(*) FROM chunks", &chunks, failure);
        if (r >= 0)
                r = sqlite_query_int64(sync->db, "SELECT min(id) FROM chunks", &first, failure);
        if (r < 0)
                return r;
        sync->result->pending = (uint64_t) chunks;
        r = vectors_connect(
                sync->vectors, sync->operation, STORE_MS, &sync->chroma, &sync->embedder, failure);
        if (r >= 0)
                r = vector_state_make_store_id(sync->db, sync->store, failure);
        if (r >= 0)
                r = prepare_chunk(sync, failure);
        if (r >= 0)
                r = find_collection(sync, reembed, &found, &there, failure);
        if (r < 0)
                return r;
        if (!found && chunks == 0) /* nothing to tell the dimension by */
                return 0;
        if (!found)
                r = create_collection(sync, first, failure);
        if (r >= 0)
                r = reconcile(sync, there, failure);
        if (r >= 0 && reembed && sync->cache)
                embedding_cache_keep_used(sync->cache);
        return r;
}

int vector_sync(const struct Operation *operation, sqlite3 *db, bool reembed,
        struct VectorResult *result, struct Failure *failure) {
        _cleanup_(sync_clear) struct Sync sync = {
                .operation = operation, .db = db, .result = result
        };
        int r;

        *result = (struct VectorResult){ 0 };
        r = vectors_open(operation->config, &sync.vectors, failure);
        if (r < 0 || !sync.vectors)
                return r;
        result->configured = true;
        return run(&sync, reembed, failure);
}
