/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/scope.h"

#include <errno.h>

#include "lib/base/text-stream.h"

/* A root is two ranges of paths in binary order: the file "sub" itself (all from "sub" to before
 * "sub\1": a path holds no NUL), and what is below, from "sub/" to before "sub0", '0' being the
 * character after '/'. "sub2/x" and "sub.md" are in neither. */
#define RANGES_PER_ROOT      2
#define PARAMETERS_PER_RANGE 3

int scope_parameters(const struct Project *project) {
        return (int) project->n_roots * RANGES_PER_ROOT * PARAMETERS_PER_RANGE;
}

void scope_write(FILE *sql, const struct Project *project, int first) {
        int last = first + scope_parameters(project);

        if (last == first) {
                (void) fputs("scope (source, low, high) AS (SELECT 0, 0, 0 WHERE 0)", sql);
                return;
        }
        (void) fputs("scope (source, low, high) AS (VALUES", sql);
        for (int i = first; i < last; i += PARAMETERS_PER_RANGE)
                (void) fprintf(sql, "%s (?%d, ?%d, ?%d)", i > first ? "," : "", i, i + 1, i + 2);
        (void) fputc(')', sql);
}

char *scope_sql(const struct Project *project, const char *rest) {
        char *text = NULL;
        size_t size = 0;
        FILE *sql = text_stream_open(&text, &size);

        if (!sql)
                return NULL;
        (void) fputs("WITH ", sql);
        scope_write(sql, project, 1);
        (void) fputs(rest, sql);
        return fclose(sql) == 0 ? text : NULL;
}

static int bind_text(sqlite3_stmt *statement, int index, const char *text, const char *suffix) {
        char *bound = sqlite3_mprintf("%s%s", text, suffix);

        if (!bound)
                return -ENOMEM;
        return sqlite3_bind_text(statement, index, bound, -1, sqlite3_free) == SQLITE_OK ? 0
                                                                                         : -ENOMEM;
}

static int bind_range(sqlite3_stmt *statement, int index, const struct IngestRoot *root,
        const char *low, const char *high) {
        int r;

        if (sqlite3_bind_text(statement, index, root->source, -1, SQLITE_STATIC) != SQLITE_OK)
                return -ENOMEM;
        r = bind_text(statement, index + 1, root->subpath, low);
        if (r < 0)
                return r;
        /* All of a source: every text sorts before any blob. */
        if (root->subpath[0] == '\0')
                return sqlite3_bind_zeroblob(statement, index + 2, 0) == SQLITE_OK ? 0 : -ENOMEM;
        return bind_text(statement, index + 2, root->subpath, high);
}

int scope_bind(sqlite3_stmt *statement, const struct Project *project, int first) {
        int index = first, r;

        for (size_t i = 0; i < project->n_roots; i++) {
                const struct IngestRoot *root = &project->roots[i];

                r = bind_range(statement, index, root, "", "\1");
                if (r < 0)
                        return r;
                index += PARAMETERS_PER_RANGE;
                r = bind_range(statement, index, root, "/", "0");
                if (r < 0)
                        return r;
                index += PARAMETERS_PER_RANGE;
        }
        return 0;
}
