/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/vector-compare.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/embedded-text.h"
#include "lib/knowledge/vector-failure.h"

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

static bool is_among(const struct Records *records, const struct ChromaRecord *record) {
        return records->n > 0 &&
                bsearch(record, records->list, records->n, sizeof *record, compare_records);
}

/* Among the others, which are ascending, each id once. `page` is changed by it. *ret_new: how many
 * were not there yet. */
static int add_page(struct Records *records, struct ChromaRecord *page, size_t n, size_t *ret_new,
        struct Failure *failure) {
        struct ChromaRecord *grown;
        size_t n_new = 0;

        qsort(page, n, sizeof *page, compare_records);
        for (size_t i = 0; i < n; i++)
                if ((n_new == 0 || page[n_new - 1].id != page[i].id) &&
                        !is_among(records, &page[i]))
                        page[n_new++] = page[i];
        *ret_new = n_new;
        if (n_new == 0)
                return 0;
        grown = reallocarray(records->list, records->n + n_new, sizeof *grown);
        if (!grown)
                return failure_out_of_memory(failure);
        records->list = grown;
        /* From the end, so that none is overwritten that has yet to move. */
        for (size_t i = records->n, j = n_new; j > 0;) {
                bool last = i == 0 || grown[i - 1].id < page[j - 1].id;

                grown[i + j - 1] = last ? page[j - 1] : grown[i - 1];
                *(last ? &j : &i) -= 1;
        }
        records->n += n_new;
        return 0;
}

/* Nobody else writes meanwhile, so that pages neither overlap nor leave gaps; where somebody does,
 * a record is seen twice or not at all, and is written once more. A server that answers with the
 * same for ever, or with more than a page beyond what it counts, is not listened to any longer. */
static int list_all(const struct Chroma *chroma, const struct ChromaCollection *collection,
        bool digests, struct Records *records, struct Failure *failure) {
        uint64_t there, offset = 0;
        int r;

        r = chroma_count(chroma, collection, &there, failure);
        if (r < 0)
                return r;
        for (;;) {
                _cleanup_free_ struct ChromaRecord *page = NULL;
                size_t n, n_new;

                r = operation_check(chroma->operation, failure);
                if (r >= 0)
                        r = chroma_list(chroma, collection, offset, digests, &page, &n, failure);
                if (r >= 0 && n == 0)
                        return 0;
                if (r >= 0)
                        r = add_page(records, page, n, &n_new, failure);
                if (r < 0)
                        return r;
                offset += n;
                if (n_new == 0 || (records->n > CHROMA_PAGE && records->n - CHROMA_PAGE > there))
                        return vector_failure(failure, VECTOR_STORE, EBADMSG,
                                "The vector store %s lists its %" PRIu64 " records without end; "
                                "see its own log, and whether vector_store= in atocore.conf leads "
                                "to a Chroma server of version 1 or later",
                                chroma->url, there);
        }
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
