/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A storage root of its own for each test, and rows for its database as ingest would write them.
 */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lib/base/file-io.h"
#include "lib/base/sqlite.h"
#include "lib/base/utf8.h"
#include "lib/knowledge/prompt-words.h"
#include "lib/knowledge/store.h"
#include "lib/knowledge/term-index.h"

struct StoreFixture {
        char root[64];
        struct Layout *layout;
        struct Config config;
        struct Clock clock;
        struct Operation operation;
        struct Failure failure;
        struct Store *store; /* a writer, where the test asked for one */
};

#define assert_success(f, expression)                                                              \
        do {                                                                                       \
                if ((expression) < 0)                                                              \
                        fail_msg("%s: %s", #expression, failure_message(&(f)->failure));           \
        } while (false)

static inline int fixture_new(void **state) {
        struct StoreFixture *f = calloc(1, sizeof *f);

        if (!f)
                return -1;
        *state = f;
        strcpy(f->root, "/tmp/atocore-test-store-XXXXXX");
        if (!mkdtemp(f->root) || layout_new(f->root, &f->layout) < 0)
                return -1;
        f->clock = (struct Clock){ .frozen = true, .now = 1775541600 };
        f->operation = (struct Operation){
                .layout = f->layout, .config = &f->config, .clock = &f->clock, .program = "test"
        };
        return 0;
}

static inline int fixture_new_with_store(void **state) {
        if (fixture_new(state) < 0)
                return -1;
        struct StoreFixture *f = *state;
        return store_open(&f->operation, SQLITE_MODE_CREATE, &f->store, &f->failure);
}

static inline int fixture_free(void **state) {
        struct StoreFixture *f = *state;
        int r = remove_tree_at(AT_FDCWD, f->root);

        store_close(f->store);
        layout_free(f->layout);
        failure_clear(&f->failure);
        free(f);
        return r;
}

static inline void fixture_execute(struct StoreFixture *f, const char *sql) {
        assert_success(f, sqlite_execute(store_database(f->store), sql, &f->failure));
}

static inline int64_t fixture_query(struct StoreFixture *f, const char *sql) {
        int64_t value = 0;

        assert_success(f, sqlite_query_int64(store_database(f->store), sql, &value, &f->failure));
        return value;
}

static inline void fixture_insert(sqlite3 *db, char *sql) {
        assert_non_null(sql);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sqlite3_errmsg(db), sql);
        sqlite3_free(sql);
}

static inline int64_t fixture_add_document(
        struct StoreFixture *f, const char *source, const char *path) {
        sqlite3 *db = store_database(f->store);

        fixture_insert(db,
                sqlite3_mprintf(
                        "INSERT INTO documents (source, path, title, size, mtime_ns, ctime_ns,"
                        " inode, digest, ingested_at) VALUES (%Q, %Q, %Q, 1, 1, 1, 1, 'x', 1)",
                        source, path, path));
        return sqlite3_last_insert_rowid(db);
}

/* Released with prompt_words_free(). */
static inline struct PromptWords *fixture_words(const char *prompt) {
        _cleanup_analyzer_ struct Analyzer *analyzer = NULL;
        struct PromptWords *words;

        assert_int_equal(analyzer_new(&analyzer), 0);
        assert_int_equal(prompt_words_find(analyzer, prompt, &words, NULL), 0);
        return words;
}

static inline char *fixture_path(struct StoreFixture *f, int64_t document) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;

        assert_success(f,
                sqlite_prepare(store_database(f->store), "SELECT path FROM documents WHERE id = ?1",
                        &statement, &f->failure));
        assert_int_equal(sqlite3_bind_int64(statement, 1, document), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        return strdup((const char *) sqlite3_column_text(statement, 0));
}

/* The next chunk of its document. */
static inline int64_t fixture_write_chunk(struct StoreFixture *f, struct TermIndex *index,
        int64_t document, const char *title, const char *heading_path, const char *content) {
        sqlite3 *db = store_database(f->store);
        _cleanup_free_ char *path = fixture_path(f, document);
        const struct IndexedText text = {
                .title = title,
                .heading_path = heading_path,
                .keywords = "",
                .path = path,
                .content = content,
                .content_size = strlen(content),
        };
        int64_t id;

        fixture_insert(db,
                sqlite3_mprintf(
                        "INSERT INTO chunks (document_id, ordinal, title, heading_path, start_line,"
                        " end_line, char_count, content) VALUES (%lld,"
                        " (SELECT count(*) FROM chunks WHERE document_id = %lld), %Q, %Q, 3, 5,"
                        " %lld, %Q)",
                        (long long) document, (long long) document, title, heading_path,
                        (long long) utf8_count(content, strlen(content)), content));
        id = sqlite3_last_insert_rowid(db);
        assert_success(f,
                term_index_add(index, id,
                        (uint64_t) fixture_query(
                                f, "SELECT ordinal FROM chunks ORDER BY id DESC LIMIT 1"),
                        &text, &f->failure));
        return id;
}

/* Those of a document, all at once, so that they are its spans. Returns the id of the first. */
static inline int64_t fixture_add_chunks(struct StoreFixture *f, int64_t document,
        const char *title, const char *heading_path, const char *const *contents, size_t n) {
        _cleanup_term_index_ struct TermIndex *index = NULL;
        int64_t last = 0;

        assert_success(f, term_index_open(store_database(f->store), &index, &f->failure));
        fixture_execute(f, "SAVEPOINT chunks");
        for (size_t i = 0; i < n; i++)
                last = fixture_write_chunk(f, index, document, title, heading_path, contents[i]);
        assert_success(f, term_index_apply(index, &f->failure));
        fixture_execute(f, "RELEASE chunks");
        return last - (int64_t) n + 1;
}

/* The next one of its document; no neighbour shares its span. */
static inline int64_t fixture_add_chunk(struct StoreFixture *f, int64_t document, const char *title,
        const char *heading_path, const char *content) {
        return fixture_add_chunks(f, document, title, heading_path, &content, 1);
}
