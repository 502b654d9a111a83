/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The table `postings`, for who writes it: one list is read, changed in memory and written back.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/knowledge/posting.h"

struct TermLists {
        sqlite3 *db;
        sqlite3_stmt *select, *put, *remove;
        struct PostingWriter list; /* that was read last, to be appended to */
};

int term_lists_open(sqlite3 *db, struct TermLists *ret_lists, struct Failure *failure);
void term_lists_close(struct TermLists *lists);

struct ListedChunk {
        int64_t term;
        int64_t chunk;
};

/* The list of a term in a window, empty where there is none, without these chunks (by id).
 * DATABASE_INVALID: it is damaged, or one of these is not in it. */
int term_lists_read(struct TermLists *lists, int64_t term, int64_t window,
        const struct ListedChunk *without, size_t n_without, struct Failure *failure);
/* An empty one is removed. */
int term_lists_write(
        struct TermLists *lists, int64_t term, int64_t window, struct Failure *failure);
