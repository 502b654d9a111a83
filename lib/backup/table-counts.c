/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/table-counts.h"

#include <errno.h>

#include "lib/backup/metadata.h"
#include "lib/base/sqlite.h"

static int count_rows(sqlite3 *db, json_object *counts, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *tables = NULL;
        int r, code;

        r = sqlite_prepare(db,
                "SELECT name, format('SELECT count(*) FROM \"%w\"', name) FROM pragma_table_list "
                "WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE "
                "'\\' ORDER BY name",
                &tables, failure);
        if (r < 0)
                return r;
        while ((code = sqlite3_step(tables)) == SQLITE_ROW) {
                const char *name = (const char *) sqlite3_column_text(tables, 0);
                const char *sql = (const char *) sqlite3_column_text(tables, 1);
                json_object *rows;
                int64_t count;

                if (!name || !sql)
                        return failure_out_of_memory(failure);
                r = sqlite_query_int64(db, sql, &count, failure);
                if (r < 0)
                        return r;
                rows = json_object_new_int64(count);
                if (!rows || json_object_object_add(counts, name, rows) < 0) {
                        json_object_put(rows);
                        return failure_out_of_memory(failure);
                }
        }
        return code == SQLITE_DONE ? 0 : sqlite_failure(db, failure, "list the tables");
}

int table_counts(const char *directory, json_object *counts, int64_t *ret_user_version,
        struct Failure *failure) {
        _cleanup_free_ char *path = NULL;
        _cleanup_sqlite_ sqlite3 *db = NULL;
        int r;

        if (asprintf(&path, "%s/" SNAPSHOT_DATABASE, directory) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        r = sqlite_open(path, SQLITE_MODE_IMMUTABLE, &db, failure);
        if (r < 0)
                return r;
        r = sqlite_query_int64(db, "PRAGMA user_version", ret_user_version, failure);
        if (r < 0)
                return r;
        return count_rows(db, counts, failure);
}
