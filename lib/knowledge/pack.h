/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ranked chunks → a context pack: readable Markdown with citations, within a budget. Pure.
 *
 *   # Context: project p05-interferometer        (or: all projects)
 *
 *   ### sources/vault/a.md › Heading › Subheading (lines 3–17)
 *
 *   the text as written
 *
 * A chunk is taken whole or not at all, in the order of its rank; where one does not fit, a smaller
 * one behind it still may. Of chunks whose texts differ in white space only, one is taken.
 */

#include <stdint.h>

#include "lib/knowledge/retrieve.h"

#define PACK_BUDGET_DEFAULT 3000 /* Unicode characters */
#define PACK_BUDGET_MAX     1000000

enum PackDecision {
        PACK_USED,
        PACK_DROPPED_BUDGET,
        PACK_DROPPED_DUPLICATE, /* of one that was used */
};

struct Pack {
        char *formatted_context; /* "" when nothing was used */
        char *full_prompt;       /* context and prompt, ready to send; without context the prompt */
        uint64_t total_chars; /* Unicode characters of formatted_context; never above the budget */
        size_t chunks_used;
        enum PackDecision *decisions; /* one per chunk of the retrieval, same order */
};

/* `project_id` may be NULL. -ENOMEM is the only error. */
int pack_build(const struct Retrieval *retrieval, const char *project_id, const char *prompt,
        uint64_t budget, struct Pack **ret_pack);
struct Pack *pack_free(struct Pack *pack);
DEFINE_POINTER_CLEANUP(struct Pack *, pack_free)
#define _cleanup_pack_ _cleanup_(pack_freep)
