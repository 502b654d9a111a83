/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/told.h"

#include <stdlib.h>
#include <string.h>

#include "lib/knowledge/changes.h"

/* Index of the first whose path is not before `path`. */
static size_t lower_bound(const struct Told *told, const char *path) {
        size_t low = 0, high = told->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(told->items[middle].path, path) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static void item_clear(struct TellingOf *item) {
        free(item->path);
        free(item->message);
}

static void insert(struct Told *told, size_t at, const char *path, const char *message) {
        struct TellingOf item = { strdup(path), strdup(message), true };

        if (told->n == told->allocated) {
                size_t allocated = told->allocated > 0 ? told->allocated * 2 : 16;
                struct TellingOf *items = reallocarray(told->items, allocated, sizeof *items);
                if (items) {
                        told->items = items;
                        told->allocated = allocated;
                }
        }
        if (!item.path || !item.message || told->n == told->allocated) {
                item_clear(&item);
                return;
        }
        memmove(&told->items[at + 1], &told->items[at], (told->n - at) * sizeof *told->items);
        told->items[at] = item;
        told->n++;
}

bool told_is_news(struct Told *told, const char *path, const char *message) {
        size_t at = lower_bound(told, path);
        struct TellingOf *item = at < told->n ? &told->items[at] : NULL;
        char *copy;

        if (!item || strcmp(item->path, path) != 0) {
                insert(told, at, path, message);
                return true;
        }
        item->met = true;
        if (strcmp(item->message, message) == 0)
                return false;
        copy = strdup(message);
        if (copy) {
                free(item->message);
                item->message = copy;
        }
        return true;
}

void told_forget(struct Told *told, const char *path) {
        size_t kept = 0;

        for (size_t i = 0; i < told->n; i++) {
                if (changes_cover(path, told->items[i].path))
                        item_clear(&told->items[i]);
                else
                        told->items[kept++] = told->items[i];
        }
        told->n = kept;
}

void told_begin(struct Told *told) {
        for (size_t i = 0; i < told->n; i++)
                told->items[i].met = false;
}

void told_end(struct Told *told) {
        size_t kept = 0;

        for (size_t i = 0; i < told->n; i++) {
                if (told->items[i].met)
                        told->items[kept++] = told->items[i];
                else
                        item_clear(&told->items[i]);
        }
        told->n = kept;
}

void told_clear(struct Told *told) {
        for (size_t i = 0; i < told->n; i++)
                item_clear(&told->items[i]);
        free(told->items);
        *told = (struct Told){ 0 };
}
