/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/index.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/json-build.h"
#include "lib/base/json-document.h"
#include "lib/base/sqlite.h"
#include "lib/base/text-stream.h"
#include "lib/base/utf8.h"
#include "lib/knowledge/label.h"
#include "lib/knowledge/term-index.h"

/* Prepared once: a first ingest runs them for each file and chunk. */
enum Statement {
        SELECT_DIGEST,
        INSERT_DOCUMENT,
        UPDATE_DOCUMENT,
        TOUCH_DOCUMENT,
        DELETE_DOCUMENT,
        DELETE_CHUNKS,
        SELECT_CHUNKS,
        INSERT_CHUNK,
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
        [DELETE_DOCUMENT] = "DELETE FROM documents WHERE id = ?1",
        [DELETE_CHUNKS] = "DELETE FROM chunks WHERE document_id = ?1",
        [SELECT_CHUNKS] = "SELECT id, ordinal FROM chunks WHERE document_id = ?1",
        [INSERT_CHUNK] = "INSERT INTO chunks (document_id, ordinal, title, heading_path, keywords,"
                         " start_line, end_line, char_count, content)"
                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        [SET_LAST_INGEST] = "INSERT INTO state (key, value) VALUES ('last_ingest_at', ?1)"
                            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
};

struct Index {
        sqlite3 *db;
        sqlite3_stmt *statements[STATEMENT_COUNT];
        struct TermIndex *terms;
        uint64_t added, removed; /* chunks, since index_apply() */
};

int index_open(sqlite3 *db, struct Index **ret_index, struct Failure *failure) {
        _cleanup_index_ struct Index *index = calloc(1, sizeof *index);
        int r;

        if (!index)
                return failure_out_of_memory(failure);
        index->db = db;
        r = term_index_open(db, &index->terms, failure);
        for (size_t i = 0; r >= 0 && i < STATEMENT_COUNT; i++)
                r = sqlite_prepare(db, statement_texts[i], &index->statements[i], failure);
        if (r < 0)
                return r;
        *ret_index = STEAL(index);
        return 0;
}

struct Index *index_close(struct Index *index) {
        if (!index)
                return NULL;
        for (size_t i = 0; i < STATEMENT_COUNT; i++)
                (void) sqlite3_finalize(index->statements[i]);
        (void) term_index_close(index->terms);
        free(index);
        return NULL;
}

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

/* A JSON array; caller frees. */
static char *json_array_of(char *const *strings) {
        _cleanup_json_ json_object *array = json_object_new_array();
        const char *text;

        for (; array && *strings; strings++)
                if (!json_append(array, json_object_new_string(*strings)))
                        return NULL;
        text = array ? json_object_to_json_string_ext(
                               array, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                     : NULL;
        return text ? strdup(text) : NULL;
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

/* The document's own row stays. */
static int remove_chunks(struct Index *index, int64_t document, struct Failure *failure) {
        sqlite3_stmt *select _cleanup_reset_ = index->statements[SELECT_CHUNKS];
        sqlite3_stmt *delete _cleanup_reset_ = index->statements[DELETE_CHUNKS];
        int r, code;

        if (sqlite3_bind_int64(select, 1, document) != SQLITE_OK)
                return failure_out_of_memory(failure);
        while ((code = sqlite3_step(select)) == SQLITE_ROW) {
                r = term_index_remove(index->terms, sqlite3_column_int64(select, 0),
                        (uint64_t) sqlite3_column_int64(select, 1), failure);
                if (r < 0)
                        return r;
                index->removed++;
        }
        if (code != SQLITE_DONE)
                return sqlite_failure(index->db, failure, "read chunks");
        return run(
                index, delete, sqlite3_bind_int64(delete, 1, document), "delete chunks", failure);
}

static int put_chunk(struct Index *index, int64_t document, size_t ordinal,
        const struct ChunkText *chunk, struct IndexedText *text, struct Failure *failure) {
        sqlite3_stmt *insert _cleanup_reset_ = index->statements[INSERT_CHUNK];
        _cleanup_free_ char *heading_path = json_array_of(chunk->heading_path);
        int r, bound;

        if (!heading_path)
                return failure_out_of_memory(failure);
        text->heading_path = heading_path;
        text->content = chunk->text;
        text->content_size = chunk->size;
        bound = sqlite3_bind_int64(insert, 1, document) |
                sqlite3_bind_int64(insert, 2, (int64_t) ordinal) |
                bind_text(insert, 3, text->title) | bind_text(insert, 4, heading_path) |
                bind_text(insert, 5, text->keywords) |
                sqlite3_bind_int64(insert, 6, (int64_t) chunk->start_line) |
                sqlite3_bind_int64(insert, 7, (int64_t) chunk->end_line) |
                sqlite3_bind_int64(insert, 8, (int64_t) utf8_count(chunk->text, chunk->size)) |
                sqlite3_bind_text64(
                        insert, 9, chunk->text, chunk->size, SQLITE_STATIC, SQLITE_UTF8);
        r = run(index, insert, bound, "write chunks", failure);
        if (r < 0)
                return r;
        index->added++;
        return term_index_add(
                index->terms, sqlite3_last_insert_rowid(index->db), ordinal, text, failure);
}

int index_put(struct Index *index, const struct IndexDocument *document, struct Failure *failure) {
        _cleanup_(derived_clear) struct Derived derived = { 0 };
        struct IndexedText text;
        int64_t id = document->id;
        int r;

        if (derive(document, &derived) < 0)
                return failure_out_of_memory(failure);
        r = id > 0 ? remove_chunks(index, id, failure) : 0;
        if (r >= 0)
                r = put_document(index, document, &derived, failure);
        if (r < 0)
                return r;
        if (id == 0)
                id = sqlite3_last_insert_rowid(index->db);
        text = (struct IndexedText){
                .title = derived.title, .keywords = derived.keywords, .path = document->path
        };
        for (size_t i = 0; r >= 0 && i < document->text->n_chunks; i++)
                r = put_chunk(index, id, i, &document->text->chunks[i], &text, failure);
        return r;
}

int index_remove(struct Index *index, int64_t id, struct Failure *failure) {
        sqlite3_stmt *delete _cleanup_reset_ = index->statements[DELETE_DOCUMENT];
        int r = remove_chunks(index, id, failure);

        return r < 0 ? r
                     : run(index, delete, sqlite3_bind_int64(delete, 1, id), "delete documents",
                               failure);
}

int index_apply(struct Index *index, uint64_t *chunks_added, uint64_t *chunks_removed,
        struct Failure *failure) {
        int r = term_index_apply(index->terms, failure);

        *chunks_added += index->added;
        *chunks_removed += index->removed;
        index->added = 0;
        index->removed = 0;
        return r;
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
