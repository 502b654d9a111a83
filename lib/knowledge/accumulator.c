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

static bool is_allowed(const struct Window *window, size_t i) {
        return !window->allowed || (window->allowed[i / 64] >> i % 64 & 1);
}

/* The sums of a window that counts at all. */
static const float *sums_of(const struct Accumulator *accumulator, const struct Window *window) {
        return accumulator->restricted && !window->allowed ? NULL : window->sums;
}

size_t accumulator_count(const struct Accumulator *accumulator, size_t enough) {
        size_t n = 0;

        for (size_t w = 0; w < accumulator->n && n < enough; w++) {
                const struct Window *window = &accumulator->windows[w];
                const float *sums = sums_of(accumulator, window);

                for (size_t i = 0; sums && i < TERM_WINDOW; i++)
                        n += sums[i] > 0 && is_allowed(window, i);
        }
        return n < enough ? n : enough;
}

void accumulator_each(const struct Accumulator *accumulator,
        void (*take)(void *userdata, int64_t id, float sum), void *userdata) {
        for (size_t w = 0; w < accumulator->n; w++) {
                const struct Window *window = &accumulator->windows[w];
                const float *sums = sums_of(accumulator, window);

                for (size_t i = 0; sums && i < TERM_WINDOW; i++)
                        if (sums[i] > 0 && is_allowed(window, i))
                                take(userdata, window->number * TERM_WINDOW + (int64_t) i, sums[i]);
        }
}
