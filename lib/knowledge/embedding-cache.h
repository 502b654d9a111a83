/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Vectors that were paid for once: data/cache/embeddings.db, by the digest of the text, the model
 * and the dimension. It holds nothing that cannot be made again: it may be deleted at any time, one
 * that is damaged is discarded and begun anew (VECTOR_CACHE_DISCARDED), and where it cannot be used
 * at all everything is embedded. Only who holds the ingestion lock has it open.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/digest.h"
#include "lib/base/operation.h"

struct EmbeddingCache;

/* Never fails but for -ENOMEM. `operation` and `model` must outlive it. */
int embedding_cache_open(const struct Operation *operation, const char *model, size_t dimension,
        struct EmbeddingCache **ret_cache);
struct EmbeddingCache *embedding_cache_close(struct EmbeddingCache *cache);
DEFINE_POINTER_CLEANUP(struct EmbeddingCache *, embedding_cache_close)
#define _cleanup_embedding_cache_ _cleanup_(embedding_cache_closep)

/* Whether it has it; then into `vector`, which has room for `dimension` numbers. */
bool embedding_cache_get(
        struct EmbeddingCache *cache, const char digest[DIGEST_HEX_SIZE], float *vector);
void embedding_cache_put(
        struct EmbeddingCache *cache, const char digest[DIGEST_HEX_SIZE], const float *vector);
/* What was neither got nor put since it was opened goes: all that is current was asked for. */
void embedding_cache_keep_used(struct EmbeddingCache *cache);
