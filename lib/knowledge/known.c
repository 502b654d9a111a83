/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/known.h"

#include <errno.h>
#include <string.h>

#include "lib/base/sqlite.h"

/* A path is below another when it continues it with a slash; '0' is the character after '/'. The
 * upper bound is for the index: a blob is greater than any text. */
#define SELECT_KNOWN                                                                               \
        "SELECT id, path, size, mtime_ns, ctime_ns, inode FROM documents"                          \
        " WHERE source = ?1 AND path >= ?2 AND path < iif(?2 = '', x'', ?2 || '0')"                \
        " AND (?2 = '' OR path = ?2 OR (path >= ?2 || '/' AND path < ?2 || '0'))"                  \
        " ORDER BY path"

static int add(struct KnownDocuments *known, sqlite3_stmt *row) {
        const char *path = (const char *) sqlite3_column_text(row, 1);

        if (known->n == known->allocated) {
                size_t allocated = known->allocated > 0 ? known->allocated * 2 : 64;
                struct KnownDocument *documents =
                        reallocarray(known->documents, allocated, sizeof *documents);
                if (!documents)
                        return -ENOMEM;
                known->documents = documents;
                known->allocated = allocated;
        }
        char *copy = path ? strdup(path) : NULL;
        if (!copy)
                return -ENOMEM;
        known->documents[known->n++] = (struct KnownDocument) {
                .id = sqlite3_column_int64(row, 0),
                .path = copy,
                .evidence = {
                        .size = sqlite3_column_int64(row, 2),
                        .mtime_ns = sqlite3_column_int64(row, 3),
                        .ctime_ns = sqlite3_column_int64(row, 4),
                        .inode = sqlite3_column_int64(row, 5),
                },
        };
        return 0;
}

int known_load(sqlite3 *db, const char *source, const char *subpath,
        struct KnownDocuments **ret_known, struct Failure *failure) {
        _cleanup_known_ struct KnownDocuments *known = calloc(1, sizeof *known);
        _cleanup_statement_ sqlite3_stmt *select = NULL;
        int r, step;

        if (!known)
                return failure_out_of_memory(failure);
        r = sqlite_prepare(db, SELECT_KNOWN, &select, failure);
        if (r < 0)
                return r;
        if (sqlite3_bind_text(select, 1, source, -1, SQLITE_STATIC) != SQLITE_OK ||
                sqlite3_bind_text(select, 2, subpath, -1, SQLITE_STATIC) != SQLITE_OK)
                return failure_out_of_memory(failure);
        while ((step = sqlite3_step(select)) == SQLITE_ROW)
                if (add(known, select) < 0)
                        return failure_out_of_memory(failure);
        if (step != SQLITE_DONE)
                return sqlite_failure(db, failure, "read the documents");
        *ret_known = STEAL(known);
        return 0;
}

struct KnownDocuments *known_free(struct KnownDocuments *known) {
        if (!known)
                return NULL;
        for (size_t i = 0; i < known->n; i++)
                free(known->documents[i].path);
        free(known->documents);
        free(known);
        return NULL;
}

/* Index of the first whose path is not before `path` continued with `suffix`. */
static size_t lower_bound(const struct KnownDocuments *known, const char *path, char suffix) {
        size_t length = strlen(path), low = 0, high = known->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                const char *other = known->documents[middle].path;
                int order = strncmp(other, path, length);

                if (order < 0 || (order == 0 && (unsigned char) other[length] < suffix))
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

struct KnownDocument *known_find(const struct KnownDocuments *known, const char *path) {
        size_t i = lower_bound(known, path, '\0');

        if (i == known->n || strcmp(known->documents[i].path, path) != 0)
                return NULL;
        return &known->documents[i];
}

size_t known_keep(struct KnownDocuments *known, const char *path) {
        size_t from = *path ? lower_bound(known, path, '/') : 0;
        size_t to = *path ? lower_bound(known, path, '/' + 1) : known->n;
        struct KnownDocument *itself = known_find(known, path);

        if (itself)
                itself->present = true;
        for (size_t i = from; i < to; i++)
                known->documents[i].present = true;
        return to - from + (itself ? 1 : 0);
}

size_t known_count_absent(const struct KnownDocuments *known) {
        size_t n = 0;

        for (size_t i = 0; i < known->n; i++)
                n += !known->documents[i].present;
        return n;
}
