/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Several rankings of the same chunks → one, by reciprocal rank: a chunk scores the sum of
 * 1 / (FUSE_K + rank) over the rankings that have it, the first rank being 1 (Cormack, Clarke,
 * Büttcher: Reciprocal Rank Fusion, SIGIR 2009). Scores of different kinds need not be compared.
 * Pure.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/knowledge/lexical.h"

#define FUSE_K     60
#define FUSE_DEPTH 50 /* how deep a ranking should be, at least, to be fused */

struct FuseList {
        const int64_t *ids; /* best first, none twice */
        size_t n;
};

/* The best `top_k`, best first, among equals the older id; the caller frees. -ENOMEM. */
int fuse_lists(const struct FuseList *lists, size_t n_lists, size_t top_k, struct Rank **ret_best,
        size_t *ret_n);
