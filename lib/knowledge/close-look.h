/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The text of the best candidates is read, for words of the prompt that stand together
 * (proximity.h). Reading one takes longer than all else about it, and so none is read of which the
 * term vector says that it can make no difference.
 */

#include "lib/knowledge/lexical.h"

/* Adds to the scores of `n` candidates, best first, what is due to them, all of it as far as the
 * best `wanted` (> 0) depend on it. The order is left as it is. DATABASE_INVALID. */
int close_look(struct IndexReader *reader, const struct PromptWords *words,
        const struct LexicalModel *model, struct ScoredChunk *candidates, size_t n, size_t wanted,
        struct Failure *failure);
