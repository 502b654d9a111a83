/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/fuse.h"

#include <errno.h>

#include "lib/base/cleanup.h"

/* By id, and of one id in the order of the lists: a sum is the same whichever way it came about. */
struct Share {
        int64_t id;
        size_t list;
        double score;
};

static int compare_shares(const void *a, const void *b) {
        const struct Share *x = a, *y = b;

        if (x->id != y->id)
                return x->id < y->id ? -1 : 1;
        return x->list < y->list ? -1 : x->list > y->list;
}

static int compare_ranks(const void *a, const void *b) {
        const struct Rank *x = a, *y = b;

        if (x->score > y->score || x->score < y->score)
                return x->score > y->score ? -1 : 1;
        return x->id < y->id ? -1 : x->id > y->id;
}

int fuse_lists(const struct FuseList *lists, size_t n_lists, size_t top_k, struct Rank **ret_best,
        size_t *ret_n) {
        _cleanup_free_ struct Share *shares = NULL;
        _cleanup_free_ struct Rank *ranks = NULL;
        size_t total = 0, n = 0;

        for (size_t i = 0; i < n_lists; i++)
                total += lists[i].n;
        shares = calloc(total + 1, sizeof *shares);
        ranks = calloc(total + 1, sizeof *ranks);
        if (!shares || !ranks)
                return -ENOMEM;
        total = 0;
        for (size_t i = 0; i < n_lists; i++)
                for (size_t k = 0; k < lists[i].n; k++)
                        shares[total++] = (struct Share){ lists[i].ids[k], i,
                                1.0 / (double) (FUSE_K + k + 1) };
        qsort(shares, total, sizeof *shares, compare_shares);

        for (size_t i = 0; i < total; i++) {
                if (n == 0 || ranks[n - 1].id != shares[i].id)
                        ranks[n++] = (struct Rank){ .id = shares[i].id };
                ranks[n - 1].score += shares[i].score;
        }
        qsort(ranks, n, sizeof *ranks, compare_ranks);
        *ret_best = STEAL(ranks);
        *ret_n = n < top_k ? n : top_k;
        return 0;
}
