/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ranked chunks → the passages that fill a budget. Pure, and the same for the same input.
 *
 * Chunks are taken in the order of their rank, in three rounds:
 *
 *   1. Each that fits, as long as its document stays within half of the budget. The first chunk of
 *      a document is always within it, and there is no such limit for what comes behind the last
 *      chunk of any other document: nobody waits there.
 *   2. Each that was left over and fits, without that limit.
 *   3. Of the first that was left over and can be cut well, an excerpt (excerpt.h).
 *
 * A chunk that continues one that was taken, or is continued by it, joins its passage
 * (passage.h), and takes no citation of its own. One that repeats one that was taken
 * (near-duplicate.h) is never taken. Passages stand in the order of the best chunk of each.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/knowledge/passage.h"
#include "lib/knowledge/retrieve.h"

/* In a row of neighbours that is longer, each so many make a passage: a citation of hundreds of
 * lines is none. It also bounds what is joined anew with each chunk that is added. */
#define PASSAGE_CHUNKS_MAX 16

enum PackDecision {
        PACK_DROPPED_BUDGET,
        PACK_DROPPED_DUPLICATE, /* of one that was used */
        PACK_USED,              /* all of it, or an excerpt */
};

struct PackSelection {
        struct Passage **passages;
        size_t n_passages;
        uint64_t characters;          /* of the texts of all passages; never above the budget */
        enum PackDecision *decisions; /* one per chunk of the retrieval, same order */
};

/* `budget` is in Unicode characters of the passages' texts. The retrieval must outlive the result.
 * -ENOMEM is the only error. */
int pack_select(
        const struct Retrieval *retrieval, uint64_t budget, struct PackSelection **ret_selection);
struct PackSelection *pack_selection_free(struct PackSelection *selection);
DEFINE_POINTER_CLEANUP(struct PackSelection *, pack_selection_free)
#define _cleanup_pack_selection_ _cleanup_(pack_selection_freep)
