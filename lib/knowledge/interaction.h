/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What was asked and answered, kept for reflection.
 */

#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/knowledge/store.h"

#define INTERACTION_LIMIT_DEFAULT 50
#define INTERACTION_LIMIT_MAX     500
#define INTERACTION_PAGE_BYTES    (4u << 20) /* of text; a page that reaches it ends early */

struct Interaction {
        int64_t id;
        int64_t created_at;
        char *prompt;
        char *response; /* this and all below: NULL when not given */
        char *response_summary;
        char *project_id; /* resolved */
        char *client;
        char *session_id;
        char *chunks_used;  /* JSON text, as given */
        char *context_pack; /* JSON text, as given */
};

struct InteractionFilter {
        const char *project_id; /* resolved; all may be NULL */
        const char *session_id;
        const char *client;
        int64_t since;  /* created_at >= since; INT64_MIN: no bound */
        int64_t before; /* id < before; 0: no bound. The `next` of the page before */
        uint64_t limit; /* 0: INTERACTION_LIMIT_DEFAULT; at most INTERACTION_LIMIT_MAX */
};

/* Committed and synced when this returns 0; sets interaction->id. */
int interaction_save(struct Store *store, struct Interaction *interaction, struct Failure *failure);
/* -ENOENT without a failure when there is none. */
int interaction_get(struct Store *store, int64_t id, struct Interaction **ret_interaction,
        struct Failure *failure);
/* Newest first; the caller frees with interaction_list_free(). *ret_next is the `before` of the
 * next page, 0 when this is the last. */
int interaction_list(struct Store *store, const struct InteractionFilter *filter,
        struct Interaction **ret_interactions, size_t *ret_n, int64_t *ret_next,
        struct Failure *failure);

struct Interaction *interaction_free(struct Interaction *interaction);
DEFINE_POINTER_CLEANUP(struct Interaction *, interaction_free)
#define _cleanup_interaction_ _cleanup_(interaction_freep)
void interaction_list_free(struct Interaction *interactions, size_t n);
