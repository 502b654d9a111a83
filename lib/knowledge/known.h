/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The documents of a part of a source that the database knows, in memory while that part is walked:
 * a second look at an unchanged vault asks the database once, not once per file.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/knowledge/evidence.h"

struct KnownDocument {
        int64_t id;
        char *path; /* below the source */
        struct Evidence evidence;
        bool present; /* the walk met it, or could not tell that it is gone */
        bool moved;   /* it is not, but its content was met at another path */
};

struct KnownDocuments {
        struct KnownDocument *documents; /* by path, bytewise */
        size_t n;
        size_t allocated;
};

/* Those of `source` at and below `subpath`, "" for all. */
int known_load(sqlite3 *db, const char *source, const char *subpath,
        struct KnownDocuments **ret_known, struct Failure *failure);
struct KnownDocuments *known_free(struct KnownDocuments *known);
DEFINE_POINTER_CLEANUP(struct KnownDocuments *, known_free)
#define _cleanup_known_ _cleanup_(known_freep)

/* NULL when there is none. */
struct KnownDocument *known_find(const struct KnownDocuments *known, const char *path);
/* Marks those at and below `path` as present, "" for all. Returns how many there are. */
size_t known_keep(struct KnownDocuments *known, const char *path);
size_t known_count_absent(const struct KnownDocuments *known);
