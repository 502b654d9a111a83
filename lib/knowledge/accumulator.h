/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Sums by chunk id, for ids that lie in a few windows (term-index.h) of a large space.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"

struct Accumulator;

/* -ENOMEM. */
int accumulator_new(struct Accumulator **ret_accumulator);
struct Accumulator *accumulator_free(struct Accumulator *accumulator);
DEFINE_POINTER_CLEANUP(struct Accumulator *, accumulator_free)
#define _cleanup_accumulator_ _cleanup_(accumulator_freep)

/* Restricts it to the ids (>= 0) that are named by accumulator_allow() before anything is added.
 */
void accumulator_restrict(struct Accumulator *accumulator);
int accumulator_allow(struct Accumulator *accumulator, int64_t id);
/* The least window >= `from` that has an id which may be added to; INT64_MAX: none. */
int64_t accumulator_window_from(const struct Accumulator *accumulator, int64_t from);

/* The sums of a window, all 0 at first; those of ids that are not allowed do not count. -ENOMEM. */
int accumulator_window(struct Accumulator *accumulator, int64_t window, float **ret_sums);

/* How many ids have a sum above 0; it stops counting at `enough`. */
size_t accumulator_count(struct Accumulator *accumulator, size_t enough);

struct Sum {
        int64_t id;
        float sum;
};

/* The largest sums above 0, `n` (> 0) at most, in no order; of equal ones those of the lower ids.
 * Returns how many these are; *ret_found is how many ids have a sum above 0 at all. */
size_t accumulator_best(
        struct Accumulator *accumulator, struct Sum *sums, size_t n, uint64_t *ret_found);
