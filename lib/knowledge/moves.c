/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/moves.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int moves_add(struct Moves *moves, const char *source, const char *digest) {
        if (moves->n == moves->allocated) {
                size_t allocated = moves->allocated > 0 ? moves->allocated * 2 : 64;
                struct Met *met = reallocarray(moves->met, allocated, sizeof *met);
                if (!met)
                        return -ENOMEM;
                moves->met = met;
                moves->allocated = allocated;
        }
        struct Met *met = &moves->met[moves->n++];
        *met = (struct Met){ .source = source };
        memcpy(met->digest, digest, DIGEST_HEX_SIZE);
        return 0;
}

static int compare(const void *a, const void *b) {
        const struct Met *one = a, *other = b;
        int order = strcmp(one->digest, other->digest);

        if (order == 0)
                order = strcmp(one->source, other->source);
        /* What was taken stays with the first when more is added. */
        return order != 0 ? order : (one->taken < other->taken) - (one->taken > other->taken);
}

static bool is_of(const struct Met *met, const char *source, const char *digest) {
        return strcmp(met->digest, digest) == 0 && strcmp(met->source, source) == 0;
}

/* The first of equal ones, or NULL. */
static struct Met *find(const struct Moves *moves, const char *source, const char *digest) {
        size_t low = 0, high = moves->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                const struct Met *met = &moves->met[middle];
                int order = strcmp(met->digest, digest);

                if (order < 0 || (order == 0 && strcmp(met->source, source) < 0))
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < moves->n && is_of(&moves->met[low], source, digest) ? &moves->met[low] : NULL;
}

bool moves_take(struct Moves *moves, const char *source, const char *digest) {
        struct Met *first, *next;

        if (moves->sorted < moves->n) {
                qsort(moves->met, moves->n, sizeof *moves->met, compare);
                moves->sorted = moves->n;
        }
        first = find(moves, source, digest);
        if (!first)
                return false;
        next = first + first->taken;
        if (next == moves->met + moves->n || !is_of(next, source, digest))
                return false;
        first->taken++;
        return true;
}

void moves_clear(struct Moves *moves) {
        free(moves->met);
        *moves = (struct Moves){ 0 };
}
