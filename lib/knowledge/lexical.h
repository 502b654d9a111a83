/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Words → ids of chunks, by BM25 over title, headings, keywords and content.
 */

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/knowledge/prompt-words.h"
#include "lib/knowledge/registry.h"

struct Rank {
        int64_t id;
        double score; /* larger is better */
};

struct Ranking {
        struct Rank *best; /* best first; among equals the older id */
        size_t n;
        uint64_t candidates; /* chunks that hold any of the words */
};

/* The best `top_k` chunks, of the project only when there is one. There must be at least one word.
 */
int lexical_rank(sqlite3 *db, const struct Project *project, const struct PromptWords *words,
        size_t top_k, struct Ranking *ret_ranking, struct Failure *failure);
void ranking_done(struct Ranking *ranking);
