/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/knowledge/term-index.h"

/* Up to version 1 the index was one of FTS5, kept in step by triggers. */
const char *const schema_migrations[SCHEMA_VERSION] = {
        [0] = "CREATE TABLE documents ("
              "  id INTEGER PRIMARY KEY,"
              "  source TEXT NOT NULL,"
              "  path TEXT NOT NULL,"
              "  title TEXT NOT NULL,"
              "  tags TEXT NOT NULL DEFAULT '[]',"
              "  aliases TEXT NOT NULL DEFAULT '[]',"
              "  size INTEGER NOT NULL,"
              "  mtime_ns INTEGER NOT NULL,"
              "  ctime_ns INTEGER NOT NULL,"
              "  inode INTEGER NOT NULL,"
              "  digest TEXT NOT NULL,"
              "  ingested_at INTEGER NOT NULL,"
              "  UNIQUE (source, path)"
              ") STRICT;"

              "CREATE TABLE chunks ("
              "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
              "  document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,"
              "  ordinal INTEGER NOT NULL,"
              "  title TEXT NOT NULL,"
              "  heading_path TEXT NOT NULL DEFAULT '[]',"
              "  keywords TEXT NOT NULL DEFAULT '',"
              "  start_line INTEGER NOT NULL,"
              "  end_line INTEGER NOT NULL,"
              "  char_count INTEGER NOT NULL,"
              "  content TEXT NOT NULL,"
              "  UNIQUE (document_id, ordinal)"
              ") STRICT;"
              /* Narrow, where the rows of chunks are wide: chunk to document for every match. */
              "CREATE INDEX chunks_by_id ON chunks (id, document_id);"

              "CREATE VIRTUAL TABLE chunks_fts USING fts5 ("
              "  title, heading_path, keywords, content,"
              "  content = 'chunks', content_rowid = 'id',"
              "  tokenize = 'porter unicode61 remove_diacritics 2'"
              ");"
              "CREATE TRIGGER chunks_fts_insert AFTER INSERT ON chunks BEGIN"
              "  INSERT INTO chunks_fts (rowid, title, heading_path, keywords, content)"
              "  VALUES (new.id, new.title, new.heading_path, new.keywords, new.content);"
              "END;"
              "CREATE TRIGGER chunks_fts_delete AFTER DELETE ON chunks BEGIN"
              "  INSERT INTO chunks_fts (chunks_fts, rowid, title, heading_path, keywords, content)"
              "  VALUES ('delete', old.id, old.title, old.heading_path, old.keywords, old.content);"
              "END;"
              "CREATE TRIGGER chunks_fts_update AFTER UPDATE ON chunks BEGIN"
              "  INSERT INTO chunks_fts (chunks_fts, rowid, title, heading_path, keywords, content)"
              "  VALUES ('delete', old.id, old.title, old.heading_path, old.keywords, old.content);"
              "  INSERT INTO chunks_fts (rowid, title, heading_path, keywords, content)"
              "  VALUES (new.id, new.title, new.heading_path, new.keywords, new.content);"
              "END;"

              "CREATE TABLE interactions ("
              "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
              "  created_at INTEGER NOT NULL,"
              "  prompt TEXT NOT NULL,"
              "  response TEXT,"
              "  response_summary TEXT,"
              "  project_id TEXT,"
              "  client TEXT,"
              "  session_id TEXT,"
              "  chunks_used TEXT,"
              "  context_pack TEXT"
              ") STRICT;"
              "CREATE INDEX interactions_by_project ON interactions (project_id);"
              "CREATE INDEX interactions_by_session ON interactions (session_id);"
              "CREATE INDEX interactions_by_client ON interactions (client);"
              "CREATE INDEX interactions_by_time ON interactions (created_at);"

              "CREATE TABLE state (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT "
              "ROWID;",

        /* What it holds is made by schema_migrate() (term-index.h). */
        [1] = "DROP TRIGGER chunks_fts_insert;"
              "DROP TRIGGER chunks_fts_delete;"
              "DROP TRIGGER chunks_fts_update;"
              "DROP TABLE chunks_fts;"
              "DROP INDEX chunks_by_id;"
              "CREATE TABLE terms ("
              "  id INTEGER PRIMARY KEY,"
              "  term TEXT NOT NULL UNIQUE,"
              "  chunks INTEGER NOT NULL"
              ") STRICT;"
              "CREATE TABLE postings ("
              "  term_id INTEGER NOT NULL,"
              "  window INTEGER NOT NULL,"
              "  data BLOB NOT NULL,"
              "  PRIMARY KEY (term_id, window)"
              ") STRICT, WITHOUT ROWID;"
              "CREATE TABLE chunk_terms ("
              "  chunk_id INTEGER PRIMARY KEY,"
              "  length INTEGER NOT NULL,"
              "  data BLOB NOT NULL"
              ") STRICT;",

        /* Vectors have their length in them. */
        [2] = "DROP TABLE chunk_terms;"
              "CREATE TABLE chunk_terms ("
              "  chunk_id INTEGER PRIMARY KEY,"
              "  data BLOB NOT NULL"
              ") STRICT;"
              "CREATE TABLE span_terms ("
              "  first_chunk INTEGER PRIMARY KEY,"
              "  last_chunk INTEGER NOT NULL,"
              "  data BLOB NOT NULL"
              ") STRICT;",

        /* Other chunks and other terms are made of the same file: the next ingest reads all of
         * them, as if they had changed. */
        [3] = "UPDATE documents SET digest = '', inode = 0;",
};

static enum SchemaState classify(int64_t application_id, int64_t version, int64_t entries) {
        if (application_id == SQLITE_APPLICATION_ID) {
                if (version == SCHEMA_VERSION)
                        return SCHEMA_CURRENT;
                return version < SCHEMA_VERSION ? SCHEMA_OLD : SCHEMA_TOO_NEW;
        }
        if (application_id == 0 && version == 0 && entries == 0)
                return SCHEMA_EMPTY;
        return SCHEMA_FOREIGN;
}

int schema_inspect(
        sqlite3 *db, enum SchemaState *ret_state, int64_t *ret_version, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        int r;

        /* One statement is one read transaction: another process may be migrating. */
        r = sqlite_prepare(db,
                "SELECT (SELECT application_id FROM pragma_application_id),"
                " (SELECT user_version FROM pragma_user_version),"
                " (SELECT count(*) FROM sqlite_schema)",
                &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_step(statement) != SQLITE_ROW)
                return sqlite_failure(db, failure, "read the schema version");

        int64_t version = sqlite3_column_int64(statement, 1);
        *ret_state = classify(
                sqlite3_column_int64(statement, 0), version, sqlite3_column_int64(statement, 2));
        *ret_version = version;
        return 0;
}

int schema_failure(sqlite3 *db, enum SchemaState state, int64_t version, struct Failure *failure) {
        const char *path = sqlite3_db_filename(db, "main");

        switch (state) {
        case SCHEMA_FOREIGN:
                return failure_set(failure, EVENT_DATABASE_FOREIGN, EMEDIUMTYPE, path,
                        "Database %s was not written by AtoCore and is left alone; move it away "
                        "to let AtoCore create its own",
                        path);
        case SCHEMA_TOO_NEW:
                return failure_set(failure, EVENT_DATABASE_TOO_NEW, EMEDIUMTYPE, path,
                        "Database %s has schema version %" PRIi64 ", this AtoCore knows up to %d; "
                        "install the AtoCore that wrote it, or restore an older snapshot",
                        path, version, SCHEMA_VERSION);
        case SCHEMA_EMPTY:
                return failure_set(failure, EVENT_DATABASE_INVALID, 0, path,
                        "Database %s is empty; run atocore-ingest to fill it", path);
        default:
                return failure_set(failure, EVENT_DATABASE_INVALID, 0, path,
                        "Database %s has schema version %" PRIi64 ", not %d; run atocore-ingest to "
                        "migrate it",
                        path, version, SCHEMA_VERSION);
        }
}

static int ensure_wal(sqlite3 *db, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        const char *path = sqlite3_db_filename(db, "main");
        int r;

        r = sqlite_prepare(db, "PRAGMA journal_mode = WAL", &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_step(statement) != SQLITE_ROW)
                return sqlite_failure(db, failure, "switch to WAL");

        const char *mode = (const char *) sqlite3_column_text(statement, 0);
        if (!mode || strcmp(mode, "wal") != 0)
                return failure_set(failure, EVENT_DATABASE_FAILED, ENOTSUP, path,
                        "Database %s cannot use a write-ahead log (journal mode stays %s); keep "
                        "it on a local file system",
                        path, mode ? mode : "unknown");
        return 0;
}

static int climb(sqlite3 *db, int64_t version, struct Failure *failure) {
        char stamp[128];

        for (int64_t step = version < 0 ? 0 : version; step < SCHEMA_VERSION; step++) {
                int r = sqlite_execute(db, schema_migrations[step], failure);
                if (r < 0)
                        return r;
        }
        (void) snprintf(stamp, sizeof stamp,
                "PRAGMA application_id = %d; PRAGMA user_version = %d;", SQLITE_APPLICATION_ID,
                SCHEMA_VERSION);
        return sqlite_execute(db, stamp, failure);
}

int schema_migrate(sqlite3 *db, struct Failure *failure) {
        enum SchemaState state;
        int64_t version;
        int r;

        r = schema_inspect(db, &state, &version, failure);
        if (r < 0)
                return r;
        if (state == SCHEMA_FOREIGN || state == SCHEMA_TOO_NEW)
                return schema_failure(db, state, version, failure);

        /* Cannot be part of the transaction. If power goes after it, an empty database is still
         * empty and an old one still old. */
        r = ensure_wal(db, failure);
        if (r < 0 || state == SCHEMA_CURRENT)
                return r;

        r = sqlite_begin(db, failure);
        if (r < 0)
                return r;
        sqlite3 *transaction _cleanup_rollback_ = db;

        /* Again, now that nobody else can write. */
        r = schema_inspect(db, &state, &version, failure);
        if (r < 0)
                return r;
        if (state == SCHEMA_CURRENT)
                return 0;
        if (state == SCHEMA_FOREIGN || state == SCHEMA_TOO_NEW)
                return schema_failure(db, state, version, failure);

        /* Tables, application_id and user_version become visible together or not at all. */
        r = climb(db, version, failure);
        if (r >= 0)
                r = term_index_rebuild(db, failure);
        if (r < 0)
                return r;
        r = sqlite_commit(db, failure);
        if (r < 0)
                return r;
        transaction = NULL;
        return 0;
}
