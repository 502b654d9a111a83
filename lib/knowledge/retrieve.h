/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A prompt → ranked chunks. The words of the prompt are data: no character of it is query syntax.
 */

#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/knowledge/explain.h"
#include "lib/knowledge/registry.h"
#include "lib/knowledge/store.h"

#define RETRIEVE_TOP_K_DEFAULT 10
#define RETRIEVE_TOP_K_MAX     1000
#define RETRIEVE_TIMEOUT_MS    10000

/* What is found beyond so much text is left out: chunks of megabytes are not what a thousand chunks
 * are meant to be. */
#define RETRIEVE_CONTENT_MAX (16u << 20) /* bytes */

struct Chunk {
        int64_t id;
        int64_t document_id;
        uint64_t ordinal;  /* within its document: neighbours differ by 1 */
        char *source_file; /* relative to the storage root: "sources/vault/Home.md" */
        char *title;
        char **heading_path; /* NULL-terminated */
        uint64_t start_line;
        uint64_t end_line;
        double score;        /* larger is better */
        uint64_t char_count; /* Unicode characters of content */
        char *content;
        size_t content_size;             /* bytes */
        struct Explanation *explanation; /* by retrieve_explain(), or NULL */
};

struct Retrieval {
        const char *mode;     /* "lexical", or "hybrid": vectors had a say */
        uint64_t candidates;  /* chunks that matched at all, before top_k */
        char **degraded;      /* what could not be used, NULL-terminated, or NULL */
        struct Chunk *chunks; /* best first */
        size_t n_chunks;
        int64_t *stale; /* chunks that the vector store knows, and the database does not, or
                         * not so */
        size_t n_stale;
};

struct VectorHits; /* hybrid.h */

/* `hits`: what vectors found, or NULL (hybrid_retrieve()). `project` NULL: everything. With one,
 * only chunks under its roots. A prompt without a word finds nothing. QUERY_TIMEOUT (-ETIMEDOUT)
 * after RETRIEVE_TIMEOUT_MS. The store has no transaction open.
 */
int retrieve(struct Store *store, const struct Project *project, const char *prompt, size_t top_k,
        struct Retrieval **ret_retrieval, struct Failure *failure);
int retrieve_within(struct Store *store, const struct Project *project, const char *prompt,
        size_t top_k, uint64_t timeout_ms, const struct VectorHits *hits,
        struct Retrieval **ret_retrieval, struct Failure *failure);
/* Why the chunks of this retrieval, by the same question, are where they are, as far as words say
 * so: the search is done once more. Chunks that are gone meanwhile stay unexplained. */
int retrieve_explain(struct Store *store, const struct Project *project, const char *prompt,
        size_t top_k, struct Retrieval *retrieval, struct Failure *failure);
/* Says what could not be used: `code` and why. -ENOMEM. */
int retrieval_degrade(struct Retrieval *retrieval, const char *code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
struct Retrieval *retrieval_free(struct Retrieval *retrieval);
DEFINE_POINTER_CLEANUP(struct Retrieval *, retrieval_free)
#define _cleanup_retrieval_ _cleanup_(retrieval_freep)
