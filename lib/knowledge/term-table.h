/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Different terms, numbered from 0 in the order in which they were met: a hash table.
 */

#include <stddef.h>
#include <stdint.h>

struct Term {
        size_t text; /* where it begins in `texts` */
        uint32_t size;
        uint32_t hash;
};

/* {0} is empty. */
struct TermTable {
        struct Term *terms;
        size_t n, allocated;
        uint32_t *places; /* term + 1 by hash, 0: none; as many as a power of two */
        size_t n_places;
        char *texts;
        size_t texts_size, texts_allocated;
};

/* The term's number, which is new when it equals the n of before. -ENOMEM. */
int term_table_put(struct TermTable *table, const char *term, size_t size, size_t *ret_number);
static inline const char *term_table_text(const struct TermTable *table, size_t number) {
        return table->texts + table->terms[number].text;
}

/* Empties it, and keeps what it has allocated. */
void term_table_reset(struct TermTable *table);
void term_table_clear(struct TermTable *table);
