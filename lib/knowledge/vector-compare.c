/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/vector-compare.h"

#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/embedded-text.h"

struct Records {
        struct ChromaRecord *list;
        size_t n;
};

static void records_clear(struct Records *records) {
        free(records->list);
}

void vector_difference_clear(struct VectorDifference *difference) {
        free(difference->missing);
        free(difference->extra);
        *difference = (struct VectorDifference){ 0 };
}

static int compare_records(const void *a, const void *b) {
        const struct ChromaRecord *x = a, *y = b;

        return x->id < y->id ? -1 : x->id > y->id;
}

/* Nobody else writes meanwhile, so that pages neither overlap nor leave gaps; where somebody does,
 * a record is seen twice or not at all, and is written once more. */
static int list_all(const struct Chroma *chroma, const struct ChromaCollection *collection,
        bool digests, struct Records *records, struct Failure *failure) {
        for (;;) {
                _cleanup_free_ struct ChromaRecord *page = NULL;
                struct ChromaRecord *grown;
                size_t n;
                int r;

                r = operation_check(chroma->operation, failure);
                if (r >= 0)
                        r = chroma_list(
                                chroma, collection, records->n, digests, &page, &n, failure);
                if (r < 0)
                        return r;
                if (n == 0)
                        break;
                grown = reallocarray(records->list, records->n + n, sizeof *grown);
                if (!grown)
                        return failure_out_of_memory(failure);
                memcpy(grown + records->n, page, n * sizeof *grown);
                records->list = grown;
                records->n += n;
        }
        if (records->n > 0)
                qsort(records->list, records->n, sizeof *records->list, compare_records);
        return 0;
}

static int add_id(int64_t **ids, size_t *n, int64_t id) {
        /* Powers of two: full when n is one. */
        if ((*n & (*n - 1)) == 0) {
                int64_t *grown = reallocarray(*ids, *n > 0 ? *n * 2 : 1, sizeof *grown);
                if (!grown)
                        return -1;
                *ids = grown;
        }
        (*ids)[(*n)++] = id;
        return 0;
}

/* `row` is of the chunk, with its text behind the id where digests count. */
static bool is_same(const struct ChromaRecord *record, sqlite3_stmt *row, bool digests) {
        char digest[DIGEST_HEX_SIZE];

        if (!digests)
                return true;
        return digest_buffer(sqlite3_column_text(row, 1), (size_t) sqlite3_column_bytes(row, 1),
                       digest) >= 0 &&
                strcmp(digest, record->digest) == 0;
}

/* Both ascending. */
static int merge(sqlite3_stmt *row, sqlite3 *db, const struct Records *records, bool digests,
        struct VectorDifference *difference, struct Failure *failure) {
        size_t i = 0;
        int code, r = 0;

        while (r >= 0 && (code = sqlite3_step(row)) == SQLITE_ROW) {
                int64_t id = sqlite3_column_int64(row, 0);

                for (; r >= 0 && i < records->n && records->list[i].id < id; i++)
                        r = add_id(&difference->extra, &difference->n_extra, records->list[i].id);
                if (r < 0)
                        break;
                if (i == records->n || records->list[i].id != id ||
                        !is_same(&records->list[i], row, digests))
                        r = add_id(&difference->missing, &difference->n_missing, id);
                while (i < records->n && records->list[i].id == id)
                        i++;
        }
        if (r >= 0 && code != SQLITE_DONE)
                return sqlite_failure(db, failure, "read chunks");
        for (; r >= 0 && i < records->n; i++)
                r = add_id(&difference->extra, &difference->n_extra, records->list[i].id);
        return r < 0 ? failure_out_of_memory(failure) : 0;
}

int vector_compare(const struct Chroma *chroma, const struct ChromaCollection *collection,
        sqlite3 *db, bool digests, struct VectorDifference *ret_difference,
        struct Failure *failure) {
        _cleanup_(vector_difference_clear) struct VectorDifference difference = { 0 };
        _cleanup_(records_clear) struct Records records = { 0 };
        _cleanup_statement_ sqlite3_stmt *row = NULL;
        int r;

        r = list_all(chroma, collection, digests, &records, failure);
        if (r >= 0)
                r = sqlite_prepare(db,
                        digests ? "SELECT id, " EMBEDDED_TEXT " FROM chunks ORDER BY id"
                                : "SELECT id FROM chunks ORDER BY id",
                        &row, failure);
        if (r >= 0)
                r = merge(row, db, &records, digests, &difference, failure);
        if (r < 0)
                return r;
        *ret_difference = difference;
        difference = (struct VectorDifference){ 0 };
        return 0;
}
