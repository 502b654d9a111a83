/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Words → ids of chunks, by BM25 over title, headings, keywords, path and content, of the chunks
 * and of what stands around them.
 *
 * The rarest words of the prompt decide which chunks are looked at, and common ones only rank
 * these: posting lists are read from the shortest on, until there were as many entries as a quarter
 * of the chunks, or further as long as there is less than was asked for. The best candidates, four
 * times as many as are wanted, are ranked by their term vectors; the better half of these get their
 * whole score (shortlist.h), with feedback (feedback.h). (Of the ten best chunks of 200,000 for
 * prompts of 5 to 40 words, 0.67 are those that a search without these limits finds.)
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/knowledge/feedback.h"
#include "lib/knowledge/index-reader.h"
#include "lib/knowledge/prompt-words.h"
#include "lib/knowledge/registry.h"
#include "lib/knowledge/shortlist.h"

#define LEXICAL_POSTINGS_SHARE   4 /* of the chunks, one in so many */
#define LEXICAL_POSTINGS_MIN     50000
#define LEXICAL_CANDIDATES_TIMES 4 /* as many as are wanted */
#define LEXICAL_CANDIDATES_MIN   60
#define LEXICAL_CANDIDATES_MAX   1000
#define LEXICAL_KEPT_SHARE       2 /* of the candidates, one in so many */

/* What scored. */
struct LexicalModel {
        struct Bm25 bm25;
        struct WeightedTerm terms[PROMPT_WORDS_MAX + FEEDBACK_TERMS_MAX]; /* by id */
        size_t n_terms;
        int64_t words[PROMPT_WORDS_MAX]; /* the ids of the prompt's words, 0: none such */
        double idfs[PROMPT_WORDS_MAX];   /* of these */
        int64_t first;                   /* the chunk that is best without feedback */
        double lead;                     /* that it is given, so that it stays first */
};

struct Ranking {
        struct Rank *best; /* best first; among equals the older id */
        size_t n;
        uint64_t candidates; /* chunks that hold any of the words that decide */
        struct LexicalModel *model;
};

/* The best `top_k` chunks, of the project only when there is one. There must be at least one word.
 */
int lexical_rank(struct IndexReader *reader, const struct Project *project,
        const struct PromptWords *words, size_t top_k, struct Ranking *ret_ranking,
        struct Failure *failure);
void ranking_done(struct Ranking *ranking);
