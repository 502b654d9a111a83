/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/accumulator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/knowledge/term-index.h"

struct Window {
        int64_t number;
        float *sums;       /* NULL: nothing was added yet */
        uint64_t *allowed; /* one bit each; NULL: all */
};

struct Accumulator {
        struct Window *windows; /* by number */
        size_t n, allocated;
        bool restricted;
};

int accumulator_new(struct Accumulator **ret_accumulator) {
        *ret_accumulator = calloc(1, sizeof **ret_accumulator);
        return *ret_accumulator ? 0 : -ENOMEM;
}

struct Accumulator *accumulator_free(struct Accumulator *accumulator) {
        if (!accumulator)
                return NULL;
        for (size_t i = 0; i < accumulator->n; i++) {
                free(accumulator->windows[i].sums);
                free(accumulator->windows[i].allowed);
        }
        free(accumulator->windows);
        free(accumulator);
        return NULL;
}

void accumulator_restrict(struct Accumulator *accumulator) {
        accumulator->restricted = true;
}

/* The place of the first window that is not before `number`. */
static size_t find(const struct Accumulator *accumulator, int64_t number) {
        size_t low = 0, high = accumulator->n;

        if (high > 0 && accumulator->windows[high - 1].number < number)
                return high;
        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (accumulator->windows[middle].number < number)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static struct Window *get(struct Accumulator *accumulator, int64_t number) {
        size_t at = find(accumulator, number);

        if (at < accumulator->n && accumulator->windows[at].number == number)
                return &accumulator->windows[at];
        if (accumulator->n == accumulator->allocated) {
                size_t allocated = accumulator->allocated > 0 ? accumulator->allocated * 2 : 32;
                struct Window *windows =
                        reallocarray(accumulator->windows, allocated, sizeof *windows);

                if (!windows)
                        return NULL;
                accumulator->windows = windows;
                accumulator->allocated = allocated;
        }
        memmove(&accumulator->windows[at + 1], &accumulator->windows[at],
                (accumulator->n - at) * sizeof *accumulator->windows);
        accumulator->n++;
        accumulator->windows[at] = (struct Window){ .number = number };
        return &accumulator->windows[at];
}

int accumulator_allow(struct Accumulator *accumulator, int64_t id) {
        struct Window *window = get(accumulator, id / TERM_WINDOW);
        size_t bit = (size_t) (id % TERM_WINDOW);

        if (!window)
                return -ENOMEM;
        if (!window->allowed) {
                window->allowed = calloc(TERM_WINDOW / 64, sizeof *window->allowed);
                if (!window->allowed)
                        return -ENOMEM;
        }
        window->allowed[bit / 64] |= UINT64_C(1) << bit % 64;
        return 0;
}

int64_t accumulator_window_from(const struct Accumulator *accumulator, int64_t from) {
        size_t at;

        if (!accumulator->restricted)
                return from;
        at = find(accumulator, from);
        return at < accumulator->n ? accumulator->windows[at].number : INT64_MAX;
}

int accumulator_window(struct Accumulator *accumulator, int64_t number, float **ret_sums) {
        struct Window *window = get(accumulator, number);

        if (window && !window->sums)
                window->sums = calloc(TERM_WINDOW, sizeof *window->sums);
        if (!window || !window->sums)
                return -ENOMEM;
        *ret_sums = window->sums;
        return 0;
}

/* The sums of a window, those that do not count set to 0; NULL: none counts. */
static const float *settle(struct Accumulator *accumulator, struct Window *window) {
        float *sums = window->sums;

        if (!accumulator->restricted)
                return sums;
        if (!window->allowed)
                return NULL;
        for (size_t i = 0; sums && i < TERM_WINDOW; i++)
                if (!(window->allowed[i / 64] >> i % 64 & 1))
                        sums[i] = 0;
        return sums;
}

/* Blocks, as nearly all sums of most windows are 0 or too small, and a processor compares many at
 * once. */
#define BLOCK 32
_Static_assert(TERM_WINDOW % BLOCK == 0, "a window is whole blocks");

static unsigned count_above(const float *block, float floor) {
        unsigned n = 0;

        for (size_t i = 0; i < BLOCK; i++)
                n += block[i] > floor;
        return n;
}

size_t accumulator_count(struct Accumulator *accumulator, size_t enough) {
        size_t n = 0;

        for (size_t w = 0; w < accumulator->n && n < enough; w++) {
                const float *sums = settle(accumulator, &accumulator->windows[w]);

                for (size_t i = 0; sums && i < TERM_WINDOW && n < enough; i += BLOCK)
                        n += count_above(sums + i, 0);
        }
        return n < enough ? n : enough;
}

/* The best so far are a heap whose root is the worst of them. */

static bool is_worse(const struct Sum *a, const struct Sum *b) {
        return a->sum < b->sum || (a->sum == b->sum && a->id > b->id);
}

static void sift_down(struct Sum *heap, size_t n, size_t at) {
        struct Sum moved = heap[at];
        size_t child;

        while ((child = 2 * at + 1) < n) {
                if (child + 1 < n && is_worse(&heap[child + 1], &heap[child]))
                        child++;
                if (!is_worse(&heap[child], &moved))
                        break;
                heap[at] = heap[child];
                at = child;
        }
        heap[at] = moved;
}

static void make_heap(struct Sum *heap, size_t n) {
        for (size_t at = n / 2; at > 0; at--)
                sift_down(heap, n, at - 1);
}

struct Best {
        struct Sum *sums;
        size_t n, room;
        float floor; /* what is not above it is none of them */
};

/* Ids ascend: of two equal sums the one that is there is the better one. */
static void take(struct Best *best, int64_t id, float sum) {
        if (best->n < best->room) {
                best->sums[best->n++] = (struct Sum){ id, sum };
                if (best->n < best->room)
                        return;
                make_heap(best->sums, best->n);
        } else {
                best->sums[0] = (struct Sum){ id, sum };
                sift_down(best->sums, best->n, 0);
        }
        best->floor = best->sums[0].sum;
}

size_t accumulator_best(
        struct Accumulator *accumulator, struct Sum *sums, size_t n, uint64_t *ret_found) {
        struct Best best = { .sums = sums, .room = n };
        uint64_t found = 0;

        for (size_t w = 0; w < accumulator->n; w++) {
                struct Window *window = &accumulator->windows[w];
                const float *all = settle(accumulator, window);

                for (size_t i = 0; all && i < TERM_WINDOW; i += BLOCK) {
                        found += count_above(all + i, 0);
                        if (count_above(all + i, best.floor) == 0)
                                continue;
                        for (size_t k = i; k < i + BLOCK; k++)
                                if (all[k] > best.floor)
                                        take(&best, window->number * TERM_WINDOW + (int64_t) k,
                                                all[k]);
                }
        }
        *ret_found = found;
        return best.n;
}
