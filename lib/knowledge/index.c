/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/index.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/base/text-stream.h"
#include "lib/knowledge/label.h"
#include "lib/knowledge/staged-chunks.h"

/* Prepared once: a first ingest runs them for each file and chunk. */
enum Statement {
        SELECT_DIGEST,
        INSERT_DOCUMENT,
        UPDATE_DOCUMENT,
        TOUCH_DOCUMENT,
        DELETE_DOCUMENTS,
        DELETE_CHUNKS,
        INSERT_CHUNKS,
        SET_LAST_INGEST,
        STATEMENT_COUNT,
};

static const char *const statement_texts[STATEMENT_COUNT] = {
        [SELECT_DIGEST] = "SELECT digest FROM documents WHERE id = ?1",
        [INSERT_DOCUMENT] =
                "INSERT INTO documents (source, path, title, tags, aliases, digest, ingested_at,"
                " size, mtime_ns, ctime_ns, inode)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        [UPDATE_DOCUMENT] =
                "UPDATE documents SET title = ?3, tags = ?4, aliases = ?5, digest = ?6,"
                " ingested_at = ?7, size = ?8, mtime_ns = ?9, ctime_ns = ?10, inode = ?11"
                " WHERE source = ?1 AND path = ?2",
        [TOUCH_DOCUMENT] = "UPDATE documents SET size = ?2, mtime_ns = ?3, ctime_ns = ?4,"
                           " inode = ?5 WHERE id = ?1",
        [DELETE_DOCUMENTS] = "DELETE FROM documents WHERE id IN (SELECT value FROM json_each(?1))",
        [DELETE_CHUNKS] =
                "DELETE FROM chunks WHERE document_id IN (SELECT value FROM json_each(?1))",
        [INSERT_CHUNKS] =
                "INSERT INTO chunks (document_id, ordinal, title, heading_path, keywords,"
                " start_line, end_line, char_count, content)"
                " SELECT document_id, ordinal, title, heading_path, keywords, start_line, end_line,"
                " char_count, content FROM staged_chunks",
        [SET_LAST_INGEST] = "INSERT INTO state (key, value) VALUES ('last_ingest_at', ?1)"
                            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
};

/* Documents whose ids wait for the statement that takes them all. */
struct Ids {
        int64_t *ids;
        size_t n, allocated;
};

struct Index {
        sqlite3 *db;
        sqlite3_stmt *statements[STATEMENT_COUNT];
        struct StagedChunks staged;
        size_t staged_allocated;
        struct Ids outdated; /* their chunks are to go */
        struct Ids removed;  /* of them, those that are to go as well */
};

int index_open(sqlite3 *db, struct Index **ret_index, struct Failure *failure) {
        _cleanup_index_ struct Index *index = calloc(1, sizeof *index);

        if (!index)
                return failure_out_of_memory(failure);
        index->db = db;
        if (staged_chunks_register(db, &index->staged) != SQLITE_OK)
                return sqlite_failure(db, failure, "prepare the writing of chunks");
        for (size_t i = 0; i < STATEMENT_COUNT; i++) {
                int r = sqlite_prepare(db, statement_texts[i], &index->statements[i], failure);
                if (r < 0)
                        return r;
        }
        *ret_index = STEAL(index);
        return 0;
}

static void forget_staged(struct Index *index) {
        for (size_t i = 0; i < index->staged.n; i++) {
                free(index->staged.documents[i].title);
                free(index->staged.documents[i].keywords);
        }
        index->staged.n = 0;
        index->outdated.n = 0;
        index->removed.n = 0;
}

struct Index *index_close(struct Index *index) {
        if (!index)
                return NULL;
        for (size_t i = 0; i < STATEMENT_COUNT; i++)
                (void) sqlite_finalize(index->statements[i]);
        (void) sqlite3_create_module(index->db, "staged_chunks", NULL, NULL);
        forget_staged(index);
        free(index->staged.documents);
        free(index->outdated.ids);
        free(index->removed.ids);
        free(index);
        return NULL;
}

/* What is bound only lives as long as the caller's call. */
static void reset(sqlite3_stmt **statement) {
        (void) sqlite3_reset(*statement);
        (void) sqlite3_clear_bindings(*statement);
}
#define _cleanup_reset_ _cleanup_(reset)

static int bind_text(sqlite3_stmt *statement, int parameter, const char *text) {
        return sqlite3_bind_text(statement, parameter, text, -1, SQLITE_STATIC);
}

/* `bound` collects the results of all binds: they fail for want of memory only. */
static int run(struct Index *index, sqlite3_stmt *statement, int bound, const char *doing,
        struct Failure *failure) {
        if (bound != SQLITE_OK)
                return failure_out_of_memory(failure);
        if (sqlite3_step(statement) != SQLITE_DONE)
                return sqlite_failure(index->db, failure, doing);
        return 0;
}

int index_digest(struct Index *index, int64_t id, char ret_digest[DIGEST_HEX_SIZE],
        struct Failure *failure) {
        sqlite3_stmt *select _cleanup_reset_ = index->statements[SELECT_DIGEST];

        if (sqlite3_bind_int64(select, 1, id) != SQLITE_OK)
                return failure_out_of_memory(failure);
        switch (sqlite3_step(select)) {
        case SQLITE_ROW:
                (void) snprintf(ret_digest, DIGEST_HEX_SIZE, "%s",
                        (const char *) sqlite3_column_text(select, 0));
                return 0;
        case SQLITE_DONE:
                /* It matches nothing. */
                ret_digest[0] = '\0';
                return 0;
        default:
                return sqlite_failure(index->db, failure, "read a document");
        }
}

static int bind_evidence(sqlite3_stmt *statement, int parameter, const struct Evidence *evidence) {
        return sqlite3_bind_int64(statement, parameter, evidence->size) |
                sqlite3_bind_int64(statement, parameter + 1, evidence->mtime_ns) |
                sqlite3_bind_int64(statement, parameter + 2, evidence->ctime_ns) |
                sqlite3_bind_int64(statement, parameter + 3, evidence->inode);
}

/* Tags and aliases as plain words; caller frees. */
static char *keywords_of(const struct DocumentText *text) {
        char *const *const lists[] = { text->tags, text->aliases };
        const char *separator = "";
        char *keywords = NULL;
        size_t size;
        FILE *f = text_stream_open(&keywords, &size);

        if (!f)
                return NULL;
        for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
                for (char *const *word = lists[i]; *word; word++) {
                        (void) fprintf(f, "%s%s", separator, *word);
                        separator = ", ";
                }
        return fclose(f) == 0 ? keywords : NULL;
}

/* That of the text, else the file's name without its extension; caller frees. */
static char *title_of(const struct IndexDocument *document) {
        const char *slash = strrchr(document->path, '/');
        const char *name = slash ? slash + 1 : document->path;
        const char *dot = strrchr(name, '.');

        if (document->text->title)
                return strdup(document->text->title);
        return label_new(name, dot && dot > name ? (size_t) (dot - name) : strlen(name));
}

struct Derived {
        char *title, *tags, *aliases, *keywords;
};

static void derived_clear(struct Derived *derived) {
        free(derived->title);
        free(derived->tags);
        free(derived->aliases);
        free(derived->keywords);
}

static int derive(const struct IndexDocument *document, struct Derived *ret_derived) {
        struct Derived derived = {
                .title = title_of(document),
                .tags = json_array_of(document->text->tags),
                .aliases = json_array_of(document->text->aliases),
                .keywords = keywords_of(document->text),
        };

        *ret_derived = derived;
        return derived.title && derived.tags && derived.aliases && derived.keywords ? 0 : -ENOMEM;
}

static int put_document(struct Index *index, const struct IndexDocument *document,
        const struct Derived *derived, struct Failure *failure) {
        sqlite3_stmt *put _cleanup_reset_ =
                index->statements[document->id > 0 ? UPDATE_DOCUMENT : INSERT_DOCUMENT];
        int bound = bind_text(put, 1, document->source) | bind_text(put, 2, document->path) |
                bind_text(put, 3, derived->title) | bind_text(put, 4, derived->tags) |
                bind_text(put, 5, derived->aliases) | bind_text(put, 6, document->digest) |
                sqlite3_bind_int64(put, 7, document->ingested_at) |
                bind_evidence(put, 8, document->evidence);

        return run(index, put, bound, "write a document", failure);
}

static int add_id(struct Ids *ids, int64_t id) {
        if (ids->n == ids->allocated) {
                size_t allocated = ids->allocated > 0 ? ids->allocated * 2 : 64;
                int64_t *grown = reallocarray(ids->ids, allocated, sizeof *grown);
                if (!grown)
                        return -ENOMEM;
                ids->ids = grown;
                ids->allocated = allocated;
        }
        ids->ids[ids->n++] = id;
        return 0;
}

/* Takes title and keywords from `derived`. */
static int stage(
        struct Index *index, int64_t id, const struct DocumentText *text, struct Derived *derived) {
        struct StagedChunks *staged = &index->staged;

        if (staged->n == index->staged_allocated) {
                size_t allocated = index->staged_allocated > 0 ? index->staged_allocated * 2 : 64;
                struct StagedDocument *documents =
                        reallocarray(staged->documents, allocated, sizeof *documents);
                if (!documents)
                        return -ENOMEM;
                staged->documents = documents;
                index->staged_allocated = allocated;
        }
        staged->documents[staged->n++] = (struct StagedDocument){
                .id = id,
                .title = STEAL(derived->title),
                .keywords = STEAL(derived->keywords),
                .text = text,
        };
        return 0;
}

int index_put(struct Index *index, const struct IndexDocument *document, struct Failure *failure) {
        _cleanup_(derived_clear) struct Derived derived = { 0 };
        int64_t id = document->id;
        int r;

        if (derive(document, &derived) < 0)
                return failure_out_of_memory(failure);
        if (id > 0 && add_id(&index->outdated, id) < 0)
                return failure_out_of_memory(failure);
        r = put_document(index, document, &derived, failure);
        if (r < 0)
                return r;
        if (id == 0)
                id = sqlite3_last_insert_rowid(index->db);
        if (stage(index, id, document->text, &derived) < 0)
                return failure_out_of_memory(failure);
        return 0;
}

int index_remove(struct Index *index, int64_t id, struct Failure *failure) {
        if (add_id(&index->outdated, id) < 0 || add_id(&index->removed, id) < 0)
                return failure_out_of_memory(failure);
        return 0;
}

/* A JSON array of numbers; caller frees. */
static char *json_of_ids(const struct Ids *ids) {
        char *text = NULL;
        size_t size;
        FILE *f = text_stream_open(&text, &size);

        if (!f)
                return NULL;
        (void) fputc('[', f);
        for (size_t i = 0; i < ids->n; i++)
                (void) fprintf(f, "%s%" PRId64, i > 0 ? "," : "", ids->ids[i]);
        (void) fputc(']', f);
        return fclose(f) == 0 ? text : NULL;
}

static int run_for_ids(struct Index *index, enum Statement which, const struct Ids *ids,
        const char *doing, struct Failure *failure) {
        sqlite3_stmt *statement _cleanup_reset_ = index->statements[which];
        _cleanup_free_ char *json = NULL;

        if (ids->n == 0)
                return 0;
        json = json_of_ids(ids);
        if (!json)
                return failure_out_of_memory(failure);
        return run(index, statement, bind_text(statement, 1, json), doing, failure);
}

int index_apply(struct Index *index, uint64_t *chunks_added, uint64_t *chunks_removed,
        struct Failure *failure) {
        sqlite3_stmt *insert _cleanup_reset_ = index->statements[INSERT_CHUNKS];
        int r;

        r = run_for_ids(index, DELETE_CHUNKS, &index->outdated, "delete chunks", failure);
        if (r < 0)
                return r;
        if (index->outdated.n > 0)
                *chunks_removed += (uint64_t) sqlite3_changes64(index->db);
        /* After their chunks: not by the cascade, which does not count. */
        r = run_for_ids(index, DELETE_DOCUMENTS, &index->removed, "delete documents", failure);
        if (r < 0)
                return r;
        if (index->staged.n > 0) {
                r = run(index, insert, SQLITE_OK, "write chunks", failure);
                if (r < 0)
                        return r;
                *chunks_added += (uint64_t) sqlite3_changes64(index->db);
        }
        forget_staged(index);
        return 0;
}

int index_touch(
        struct Index *index, int64_t id, const struct Evidence *evidence, struct Failure *failure) {
        sqlite3_stmt *touch _cleanup_reset_ = index->statements[TOUCH_DOCUMENT];

        return run(index, touch,
                sqlite3_bind_int64(touch, 1, id) | bind_evidence(touch, 2, evidence),
                "write a document", failure);
}

int index_set_last_ingest(struct Index *index, int64_t at, struct Failure *failure) {
        sqlite3_stmt *set _cleanup_reset_ = index->statements[SET_LAST_INGEST];

        return run(index, set, sqlite3_bind_int64(set, 1, at), "write when this was", failure);
}
