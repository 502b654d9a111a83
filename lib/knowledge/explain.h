/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Why a chunk has the score that it has.
 */

#include <stdbool.h>

#include "lib/knowledge/lexical.h"

struct TermScore {
        char *term;              /* as in the index */
        bool typical;            /* not of the prompt, but of what answers it best (feedback.h) */
        double weight;           /* by how rare it is, and its share */
        unsigned frequency;      /* in the chunk, weighted by where it stands; 255 is 255 or more */
        unsigned span_frequency; /* in all of its span (term-index.h) */
        double score;
};

struct Explanation {
        struct TermScore *terms; /* those in the span, the highest score first */
        size_t n_terms;
        double proximity; /* for words that stand together (proximity.h) */
        double lead;      /* for being the best one without feedback */
};

/* *ret_explanation is NULL when the index does not know the chunk (any more). DATABASE_INVALID. */
int explain_chunk(struct IndexReader *reader, const struct Ranking *ranking, int64_t chunk,
        struct Explanation **ret_explanation, struct Failure *failure);
struct Explanation *explanation_free(struct Explanation *explanation);
DEFINE_POINTER_CLEANUP(struct Explanation *, explanation_free)
#define _cleanup_explanation_ _cleanup_(explanation_freep)
