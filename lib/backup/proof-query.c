/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/proof-query.h"

#include <string.h>

#include "lib/base/sqlite.h"

/* The beginnings of the first chunk, the last, and one in the middle: if one is all of signs that
 * are no words, another is not. They are a few dozen words, so that it is no burden to look for
 * them in a large database; each text is found by itself. */
#define BEGINNINGS                                                                                 \
        "SELECT group_concat(substr(title || ' ' || content, 1, 80), ' ') FROM chunks"             \
        " WHERE id IN (SELECT min(id) FROM chunks UNION SELECT max(id) FROM chunks"                \
        "  UNION SELECT min(id) FROM chunks"                                                       \
        "   WHERE id >= (SELECT min(id) / 2 + max(id) / 2 FROM chunks))"

int proof_query(const struct Operation *operation, char **ret_query, struct Failure *failure) {
        _cleanup_sqlite_ sqlite3 *db = NULL;
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        const char *text;
        int r;

        r = sqlite_open(operation->layout->database, SQLITE_MODE_READ, &db, failure);
        if (r < 0)
                return r;
        r = sqlite_prepare(db, BEGINNINGS, &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_step(statement) != SQLITE_ROW)
                return sqlite_failure(db, failure, "look for words in the chunks");
        text = (const char *) sqlite3_column_text(statement, 0);
        *ret_query = strdup(text ? text : "");
        return *ret_query ? 0 : failure_out_of_memory(failure);
}
