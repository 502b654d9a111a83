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
 * What goes in, and in which order, is pack-select.h; how it is cited, passage.h.
 */

#include <stdint.h>

#include "lib/knowledge/pack-select.h"
#include "lib/knowledge/retrieve.h"

#define PACK_BUDGET_DEFAULT 3000 /* Unicode characters */
#define PACK_BUDGET_MAX     1000000

struct Pack {
        char *formatted_context; /* "" when nothing was used */
        char *full_prompt;       /* context and prompt, ready to send; without context the prompt */
        uint64_t total_chars; /* Unicode characters of formatted_context; never above the budget */
        struct PackSelection *selection;
};

/* `project_id` may be NULL. The retrieval must outlive the pack. -ENOMEM is the only error. */
int pack_build(const struct Retrieval *retrieval, const char *project_id, const char *prompt,
        uint64_t budget, struct Pack **ret_pack);
struct Pack *pack_free(struct Pack *pack);
DEFINE_POINTER_CLEANUP(struct Pack *, pack_free)
#define _cleanup_pack_ _cleanup_(pack_freep)
