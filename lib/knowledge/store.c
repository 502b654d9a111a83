/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/base/lock.h"
#include "lib/knowledge/schema.h"
#include "lib/knowledge/scope.h"

/* WAL with FULL: a commit is on disk when it returns. The log shrinks again after a large ingest.
 * Triggers of ours write the index, which SQLite 3.40 allows in a trusted schema only. */
#define WRITER_PRAGMAS                                                                             \
        "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216;"                         \
        "PRAGMA trusted_schema = ON;"
#define READER_PRAGMAS "PRAGMA cache_size = -1024;"

struct Store {
        struct Lock *lock; /* NULL on read-only media */
        sqlite3 *db;
        struct IndexReader *index_reader;
};

/* With the names on disk before anything is committed below them. */
static int make_below_root(
        const struct Layout *layout, const char *directory, struct Failure *failure) {
        _cleanup_free_ char *parent = strdup(directory);
        int r;

        if (!parent)
                return failure_out_of_memory(failure);
        if (access(directory, F_OK) == 0)
                return 0;
        r = make_directories(layout->root, directory);
        if (r < 0)
                return failure_set_write(failure, -r, directory, "create");

        while (strlen(parent) > strlen(layout->root)) {
                *strrchr(parent, '/') = '\0';
                r = sync_directory_at(AT_FDCWD, parent);
                if (r < 0)
                        return failure_set_write(failure, -r, parent, "sync");
        }
        return 0;
}

/* What would otherwise be told as a lock file that cannot be made. A restore exchanges data/db by
 * one rename: it is never absent in between. */
static int check_present(
        const struct Layout *layout, enum SqliteMode mode, struct Failure *failure) {
        int r;

        if (access(layout->root, F_OK) < 0 && errno == ENOENT)
                return failure_set(failure, EVENT_STORAGE_ROOT_MISSING, ENOENT, layout->root,
                        "There is no storage root at %s; create it, mount it, or set root= in "
                        "atocore.conf",
                        layout->root);
        if (mode == SQLITE_MODE_CREATE || access(layout->database_dir, F_OK) >= 0 ||
                errno != ENOENT)
                return 0;
        r = lock_refuse_interrupted(layout, failure);
        if (r >= 0)
                r = failure_set(failure, EVENT_DATABASE_MISSING, ENOENT, layout->database,
                        "There is no database at %s; run atocore-ingest for a first one, or "
                        "restore a snapshot",
                        layout->database);
        return r;
}

static int check_current(sqlite3 *db, struct Failure *failure) {
        enum SchemaState state;
        int64_t version;
        int r;

        r = schema_inspect(db, &state, &version, failure);
        if (r < 0 || state == SCHEMA_CURRENT)
                return r;
        return schema_failure(db, state, version, failure);
}

static int prepare_database(sqlite3 *db, enum SqliteMode mode, struct Failure *failure) {
        int r;

        if (mode == SQLITE_MODE_READ) {
                r = check_current(db, failure);
                return r < 0 ? r : sqlite_execute(db, READER_PRAGMAS, failure);
        }
        r = schema_migrate(db, failure);
        return r < 0 ? r : sqlite_execute(db, WRITER_PRAGMAS, failure);
}

int store_open(const struct Operation *operation, enum SqliteMode mode, struct Store **ret_store,
        struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        _cleanup_store_ struct Store *store = NULL;
        int r;

        r = check_present(layout, mode, failure);
        if (r < 0)
                return r;
        store = calloc(1, sizeof *store);
        if (!store)
                return failure_out_of_memory(failure);

        if (mode == SQLITE_MODE_CREATE) {
                r = make_below_root(layout, layout->locks, failure);
                if (r < 0)
                        return r;
        }
        r = lock_acquire_store(operation, &store->lock, failure);
        if (r < 0)
                return r;
        if (mode == SQLITE_MODE_CREATE) {
                r = make_below_root(layout, layout->database_dir, failure);
                if (r < 0)
                        return r;
        }
        r = sqlite_open(layout->database, mode, &store->db, failure);
        if (r < 0)
                return r;
        r = prepare_database(store->db, mode, failure);
        if (r < 0)
                return r;
        if (index_reader_new(store->db, &store->index_reader) < 0)
                return failure_out_of_memory(failure);

        *ret_store = STEAL(store);
        return 0;
}

int store_set_cache(struct Store *store, uint64_t bytes, struct Failure *failure) {
        char *sql = sqlite3_mprintf("PRAGMA cache_size = -%llu", (unsigned long long) bytes >> 10);
        int r = sql ? sqlite_execute(store->db, sql, failure) : failure_out_of_memory(failure);

        sqlite3_free(sql);
        return r;
}

bool store_has_moved(struct Store *store) {
        int moved = 0;

        return sqlite3_file_control(store->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) !=
                SQLITE_OK ||
                moved != 0;
}

struct Store *store_close(struct Store *store) {
        if (!store)
                return NULL;
        (void) index_reader_free(store->index_reader);
        sqlite_close(store->db);
        lock_release(store->lock);
        free(store);
        return NULL;
}

sqlite3 *store_database(struct Store *store) {
        return store->db;
}

struct IndexReader *store_index_reader(struct Store *store) {
        return store->index_reader;
}

/* Of a table that something beside AtoCore may have put into the database. */
static int count_memories(sqlite3 *db, uint64_t *ret_memories, struct Failure *failure) {
        int64_t n;
        int r;

        r = sqlite_query_int64(db,
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'memories'", &n,
                failure);
        if (r >= 0 && n > 0)
                r = sqlite_query_int64(db, "SELECT count(*) FROM memories", &n, failure);
        if (r < 0)
                return r;
        *ret_memories = (uint64_t) n;
        return 0;
}

int store_counts(struct Store *store, struct StoreCounts *ret_counts, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        struct StoreCounts counts = { 0 };
        int r;

        /* Each count is a scan of the smallest index. */
        r = sqlite_prepare(store->db,
                "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks),"
                " (SELECT count(*) FROM interactions),"
                " (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size),"
                " (SELECT value FROM state WHERE key = 'last_ingest_at')",
                &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_step(statement) != SQLITE_ROW)
                return sqlite_failure(store->db, failure, "count rows");
        counts.documents = (uint64_t) sqlite3_column_int64(statement, 0);
        counts.chunks = (uint64_t) sqlite3_column_int64(statement, 1);
        counts.interactions = (uint64_t) sqlite3_column_int64(statement, 2);
        counts.database_bytes = (uint64_t) sqlite3_column_int64(statement, 3);
        counts.last_ingest_at = sqlite3_column_int64(statement, 4);

        r = count_memories(store->db, &counts.memories, failure);
        if (r < 0)
                return r;
        *ret_counts = counts;
        return 0;
}

int store_has_documents(struct Store *store, const char *source, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        int r;

        r = sqlite_prepare(store->db, "SELECT EXISTS (SELECT 1 FROM documents WHERE source = ?1)",
                &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_bind_text(statement, 1, source, -1, SQLITE_STATIC) != SQLITE_OK)
                return failure_out_of_memory(failure);
        if (sqlite3_step(statement) != SQLITE_ROW)
                return sqlite_failure(store->db, failure, "read the documents");
        return sqlite3_column_int(statement, 0);
}

static char *project_counts_sql(const struct Project *project) {
        /* DISTINCT: roots may lie within each other. */
        return scope_sql(project,
                ", ids (id) AS (SELECT DISTINCT documents.id FROM scope CROSS JOIN documents"
                " WHERE documents.source = scope.source"
                " AND documents.path >= scope.low AND documents.path < scope.high)"
                " SELECT (SELECT count(*) FROM ids),"
                " (SELECT count(*) FROM ids CROSS JOIN chunks ON document_id = ids.id)");
}

int store_project_counts(struct Store *store, const struct Project *project,
        uint64_t *ret_documents, uint64_t *ret_chunks, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        _cleanup_free_ char *sql = project_counts_sql(project);
        int r;

        if (!sql)
                return failure_out_of_memory(failure);
        r = sqlite_prepare(store->db, sql, &statement, failure);
        if (r < 0)
                return r;
        if (scope_bind(statement, project, 1) < 0)
                return failure_out_of_memory(failure);
        if (sqlite3_step(statement) != SQLITE_ROW)
                return sqlite_failure(store->db, failure, "count rows");
        *ret_documents = (uint64_t) sqlite3_column_int64(statement, 0);
        *ret_chunks = (uint64_t) sqlite3_column_int64(statement, 1);
        return 0;
}
