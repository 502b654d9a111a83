/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/batch.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/sqlite.h"

#define CHANGES_MAX 2000
#define BYTES_MAX   (8u << 20) /* of text that waits */

enum ChangeKind {
        CHANGE_PUT,
        CHANGE_TOUCH,
        CHANGE_REMOVE,
};

struct Change {
        enum ChangeKind kind;
        int64_t id;
        struct Evidence evidence; /* of a touched file */
        const char *source;       /* this and what follows: of a document to be put */
        char *path;
        struct DocumentFile *file;
        struct DocumentText *text;
};

struct Batch {
        sqlite3 *db;
        struct Index *index;
        int64_t now;
        struct IngestResult *result;

        struct Change *changes;
        size_t n, allocated;
        size_t worthwhile; /* of them, those that are reason enough to write */
        size_t bytes;
};

int batch_new(sqlite3 *db, int64_t now, struct IngestResult *result, struct Batch **ret_batch,
        struct Failure *failure) {
        _cleanup_batch_ struct Batch *batch = calloc(1, sizeof *batch);
        int r;

        if (!batch)
                return failure_out_of_memory(failure);
        batch->db = db;
        batch->now = now;
        batch->result = result;
        r = index_open(db, &batch->index, failure);
        if (r < 0)
                return r;
        *ret_batch = STEAL(batch);
        return 0;
}

static void change_clear(struct Change *change) {
        free(change->path);
        (void) document_file_free(change->file);
        (void) document_text_free(change->text);
}

/* Large files leave large holes, which malloc() would keep for itself. */
static void forget(struct Batch *batch) {
        bool large = batch->bytes >= BYTES_MAX;

        for (size_t i = 0; i < batch->n; i++)
                change_clear(&batch->changes[i]);
        batch->n = 0;
        batch->worthwhile = 0;
        batch->bytes = 0;
        if (large)
                (void) malloc_trim(0);
}

struct Batch *batch_free(struct Batch *batch) {
        if (!batch)
                return NULL;
        forget(batch);
        free(batch->changes);
        (void) index_close(batch->index);
        free(batch);
        return NULL;
}

struct Index *batch_index(struct Batch *batch) {
        return batch->index;
}

static int put(struct Batch *batch, const struct Change *change, struct IngestResult *counts,
        struct Failure *failure) {
        const struct IndexDocument document = {
                .id = change->id,
                .source = change->source,
                .path = change->path,
                .digest = change->file->digest,
                .evidence = &change->file->evidence,
                .text = change->text,
                .ingested_at = batch->now,
        };

        counts->files_indexed++;
        return index_put(batch->index, &document, failure);
}

static int apply(struct Batch *batch, const struct Change *change, struct IngestResult *counts,
        struct Failure *failure) {
        switch (change->kind) {
        case CHANGE_PUT:
                return put(batch, change, counts, failure);
        case CHANGE_TOUCH:
                return index_touch(batch->index, change->id, &change->evidence, failure);
        case CHANGE_REMOVE:
                counts->files_removed++;
                return index_remove(batch->index, change->id, failure);
        }
        return 0;
}

int batch_flush(struct Batch *batch, struct Failure *failure) {
        struct IngestResult counts = { 0 };
        int r;

        if (batch->worthwhile == 0) {
                forget(batch);
                return 0;
        }
        r = sqlite_begin(batch->db, failure);
        if (r < 0)
                return r;
        sqlite3 *transaction _cleanup_rollback_ = batch->db;

        for (size_t i = 0; i < batch->n; i++) {
                r = apply(batch, &batch->changes[i], &counts, failure);
                if (r < 0)
                        return r;
        }
        r = index_apply(batch->index, &counts.chunks_added, &counts.chunks_removed, failure);
        if (r < 0)
                return r;
        r = index_set_last_ingest(batch->index, batch->now, failure);
        if (r < 0)
                return r;
        /* If power goes before this returns, the database holds all of these files as they were
         * before; the next run finds them changed again. */
        r = sqlite_commit(batch->db, failure);
        if (r < 0)
                return r;
        transaction = NULL;

        batch->result->files_indexed += counts.files_indexed;
        batch->result->files_removed += counts.files_removed;
        batch->result->chunks_added += counts.chunks_added;
        batch->result->chunks_removed += counts.chunks_removed;
        forget(batch);
        return 0;
}

/* Takes what the change owns. */
static int add(
        struct Batch *batch, struct Change *change, bool worthwhile, struct Failure *failure) {
        if (batch->n == batch->allocated) {
                size_t allocated = batch->allocated > 0 ? batch->allocated * 2 : CHANGES_MAX;
                struct Change *changes = reallocarray(batch->changes, allocated, sizeof *changes);
                if (!changes) {
                        change_clear(change);
                        return failure_out_of_memory(failure);
                }
                batch->changes = changes;
                batch->allocated = allocated;
        }
        batch->changes[batch->n++] = *change;
        batch->worthwhile += worthwhile;
        batch->bytes += change->file ? change->file->size : 0;
        if (batch->worthwhile < CHANGES_MAX && batch->bytes < BYTES_MAX)
                return 0;
        return batch_flush(batch, failure);
}

int batch_put(struct Batch *batch, int64_t id, const char *source, const char *path,
        struct DocumentFile *file, struct DocumentText *text, struct Failure *failure) {
        struct Change change = {
                .kind = CHANGE_PUT,
                .id = id,
                .source = source,
                .path = strdup(path),
                .file = file,
                .text = text,
        };

        if (!change.path) {
                change_clear(&change);
                return failure_out_of_memory(failure);
        }
        return add(batch, &change, true, failure);
}

int batch_touch(struct Batch *batch, int64_t id, const struct Evidence *evidence, bool worthwhile,
        struct Failure *failure) {
        struct Change change = { .kind = CHANGE_TOUCH, .id = id, .evidence = *evidence };

        return add(batch, &change, worthwhile, failure);
}

int batch_remove(struct Batch *batch, int64_t id, struct Failure *failure) {
        struct Change change = { .kind = CHANGE_REMOVE, .id = id };

        return add(batch, &change, true, failure);
}
