/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Texts → vectors, by a server that speaks OpenAI's POST /v1/embeddings: llama.cpp, Ollama, TEI.
 * https://platform.openai.com/docs/api-reference/embeddings. What it answers is not believed: as
 * many vectors as there were texts, all of one dimension, all numbers finite, none of zeros only.
 */

#include <stddef.h>

#include "lib/base/http-module.h"

#define EMBEDDING_BATCH_MAX     32 /* texts in one request: what TEI takes by default */
#define EMBEDDING_DIMENSION_MAX 65536

struct Embedder {
        HttpRequestFunction *request;
        const char *url;
        const char *model; /* "": none is asked for */
        const char *key;   /* or NULL */
};

/* At most EMBEDDING_BATCH_MAX texts; `dimension` is that of the vectors, 0: it is found out.
 * *ret_values are n * dimension numbers, one text's after the other's; the caller frees. `failure`
 * has one of the codes of vector-failure.h. -EREMOTEIO: the server was there and refused these
 * texts, others it may take. -EINTR: INTERRUPTED. */
int embed(const struct Operation *operation, const struct Embedder *embedder,
        const char *const *texts, size_t n, size_t dimension, uint64_t deadline_ms,
        float **ret_values, size_t *ret_dimension, struct Failure *failure);
