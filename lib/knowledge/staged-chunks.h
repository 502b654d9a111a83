/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The chunks of many documents as a table that SQL can read: `staged_chunks`, with the columns of
 * `chunks` but the id. Nothing is copied: it shows what is in memory.
 *
 * Chunks are written by one INSERT … SELECT for many documents, because FTS5 writes out what it has
 * gathered whenever a statement ends that fires triggers. One statement for each chunk would make
 * each of them a segment of the index, to be merged with all others, and take four times as long.
 */

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/knowledge/chunker.h"

struct StagedDocument {
        int64_t id;
        char *title;
        char *keywords;
        const struct DocumentText *text;
};

/* Filled by its owner, who keeps it as long as the connection may read the table. */
struct StagedChunks {
        struct StagedDocument *documents;
        size_t n;
};

/* Makes the table known to the connection; an SQLite result code. */
int staged_chunks_register(sqlite3 *db, const struct StagedChunks *staged);

/* A JSON array of the strings; caller frees; NULL when memory ran out. */
char *json_array_of(char *const *strings);
