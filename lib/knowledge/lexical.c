/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/lexical.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/base/text-stream.h"
#include "lib/knowledge/scope.h"

/* What a word counts in title, heading_path, keywords and content. */
#define WEIGHTS "4.0, 3.0, 2.0, 1.0"

static bool is_better(const struct Rank *a, const struct Rank *b) {
        return a->score > b->score || (a->score == b->score && a->id < b->id);
}

/* Keeps the best `top_k`, in order. */
static void add(struct Ranking *ranking, size_t top_k, struct Rank rank) {
        size_t low = 0, high = ranking->n;

        ranking->candidates++;
        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (is_better(&ranking->best[middle], &rank))
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low == top_k)
                return;
        if (ranking->n < top_k)
                ranking->n++;
        memmove(&ranking->best[low + 1], &ranking->best[low],
                (ranking->n - low - 1) * sizeof *ranking->best);
        ranking->best[low] = rank;
}

/* Only ids and scores: no row of chunks is read for what may not be among the best. */
static char *rank_sql(const struct Project *project) {
        char *text = NULL;
        size_t size = 0;
        FILE *sql = text_stream_open(&text, &size);

        if (!sql)
                return NULL;
        if (project) {
                (void) fputs("WITH ", sql);
                scope_write(sql, project, 2);
                (void) fputc(' ', sql);
        }
        (void) fputs("SELECT rowid, -bm25(chunks_fts, " WEIGHTS ") FROM chunks_fts"
                     " WHERE chunks_fts MATCH ?1",
                sql);
        if (project)
                (void) fputs(" AND (SELECT document_id FROM chunks INDEXED BY chunks_by_id"
                             " WHERE id = chunks_fts.rowid) IN (SELECT documents.id"
                             " FROM scope CROSS JOIN documents"
                             " WHERE documents.source = scope.source"
                             " AND documents.path >= scope.low AND documents.path < scope.high)",
                        sql);
        return fclose(sql) == 0 ? text : NULL;
}

int lexical_rank(sqlite3 *db, const struct Project *project, const struct PromptWords *words,
        size_t top_k, struct Ranking *ret_ranking, struct Failure *failure) {
        _cleanup_free_ char *expression = prompt_words_expression(words);
        _cleanup_free_ char *sql = rank_sql(project);
        _cleanup_(ranking_done) struct Ranking ranking = { .best = calloc(top_k + 1,
                                                                   sizeof *ranking.best) };
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        int r, code;

        if (!expression || !sql || !ranking.best)
                return failure_out_of_memory(failure);
        r = sqlite_prepare(db, sql, &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_bind_text(statement, 1, expression, -1, SQLITE_STATIC) != SQLITE_OK ||
                (project && scope_bind(statement, project, 2) < 0))
                return failure_out_of_memory(failure);

        while ((code = sqlite3_step(statement)) == SQLITE_ROW)
                add(&ranking, top_k,
                        (struct Rank){ .id = sqlite3_column_int64(statement, 0),
                                .score = sqlite3_column_double(statement, 1) });
        if (code != SQLITE_DONE)
                return sqlite_failure(db, failure, "search chunks");

        *ret_ranking = ranking;
        ranking.best = NULL;
        return 0;
}

void ranking_done(struct Ranking *ranking) {
        free(ranking->best);
        ranking->best = NULL;
}
