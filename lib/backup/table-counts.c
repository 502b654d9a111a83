/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/table-counts.h"

#include <errno.h>

#include "lib/backup/metadata.h"
#include "lib/base/sqlite.h"

/* `sql` ends behind the name of the table. SQLite counts in the smallest index; where that needs a
 * collation or function that only the program has whose database it is, the table itself does. A
 * table that cannot be counted at all is none to fail for: *ret_rows is NULL, JSON's null. */
static int count_rows(
        sqlite3 *db, const char *sql, json_object **ret_rows, struct Failure *failure) {
        static const char *const ways[] = { "", " NOT INDEXED" };

        *ret_rows = NULL;
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
                _cleanup_failure_ struct Failure why = { 0 };
                _cleanup_free_ char *full = NULL;
                int64_t count;
                int r;

                if (asprintf(&full, "%s%s", sql, ways[i]) < 0) {
                        full = NULL;
                        return failure_out_of_memory(failure);
                }
                r = sqlite_query_int64(db, full, &count, &why);
                if (r >= 0) {
                        *ret_rows = json_object_new_int64(count);
                        return *ret_rows ? 0 : failure_out_of_memory(failure);
                }
                if (why.event != EVENT_DATABASE_FAILED)
                        return failure_set(failure, why.event, why.error, why.path, "%s",
                                failure_message(&why));
        }
        return 0;
}

static int count_tables(sqlite3 *db, json_object *counts, struct Failure *failure) {
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

                if (!name || !sql)
                        return failure_out_of_memory(failure);
                r = count_rows(db, sql, &rows, failure);
                if (r < 0)
                        return r;
                if (json_object_object_add(counts, name, rows) < 0) {
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
        return count_tables(db, counts, failure);
}
