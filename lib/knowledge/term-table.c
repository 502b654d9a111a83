/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/term-table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PLACES_MIN 1024

static uint32_t hash_of(const char *term, size_t size) {
        uint32_t value = 2166136261; /* FNV-1a */

        for (size_t i = 0; i < size; i++)
                value = (value ^ (unsigned char) term[i]) * 16777619;
        return value ^ value >> 15;
}

static void place(struct TermTable *table, size_t number) {
        size_t at = table->terms[number].hash & (table->n_places - 1);

        while (table->places[at] != 0)
                at = (at + 1) & (table->n_places - 1);
        table->places[at] = (uint32_t) number + 1;
}

/* Never more than half full. */
static int grow_places(struct TermTable *table) {
        size_t n = table->n_places > 0 ? table->n_places * 2 : PLACES_MIN;
        uint32_t *places = calloc(n, sizeof *places);

        if (!places)
                return -ENOMEM;
        free(table->places);
        table->places = places;
        table->n_places = n;
        for (size_t i = 0; i < table->n; i++)
                place(table, i);
        return 0;
}

static int make_room(struct TermTable *table, size_t size) {
        if (table->n == table->allocated) {
                size_t n = table->allocated > 0 ? table->allocated * 2 : PLACES_MIN;
                struct Term *terms = reallocarray(table->terms, n, sizeof *terms);

                if (!terms)
                        return -ENOMEM;
                table->terms = terms;
                table->allocated = n;
        }
        if (table->texts_allocated - table->texts_size < size) {
                size_t n = 2 * table->texts_allocated + size;
                char *texts = realloc(table->texts, n);

                if (!texts)
                        return -ENOMEM;
                table->texts = texts;
                table->texts_allocated = n;
        }
        return table->n >= UINT32_MAX - 1 ? -ENOMEM : 0;
}

int term_table_put(struct TermTable *table, const char *term, size_t size, size_t *ret_number) {
        uint32_t hash = hash_of(term, size);
        int r;

        if (2 * table->n >= table->n_places) {
                r = grow_places(table);
                if (r < 0)
                        return r;
        }
        for (size_t at = hash & (table->n_places - 1); table->places[at] != 0;
                at = (at + 1) & (table->n_places - 1)) {
                const struct Term *known = &table->terms[table->places[at] - 1];

                if (known->hash == hash && known->size == size &&
                        memcmp(table->texts + known->text, term, size) == 0) {
                        *ret_number = table->places[at] - 1;
                        return 0;
                }
        }
        r = make_room(table, size);
        if (r < 0)
                return r;
        memcpy(table->texts + table->texts_size, term, size);
        table->terms[table->n] = (struct Term){ table->texts_size, (uint32_t) size, hash };
        table->texts_size += size;
        place(table, table->n);
        *ret_number = table->n++;
        return 0;
}

void term_table_reset(struct TermTable *table) {
        table->n = 0;
        table->texts_size = 0;
        if (table->places)
                memset(table->places, 0, table->n_places * sizeof *table->places);
}

void term_table_clear(struct TermTable *table) {
        free(table->terms);
        free(table->places);
        free(table->texts);
        *table = (struct TermTable){ 0 };
}
