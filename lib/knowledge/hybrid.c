/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/hybrid.h"

#include <errno.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/base/text-stream.h"
#include "lib/knowledge/embedded-text.h"
#include "lib/knowledge/fuse.h"
#include "lib/knowledge/scope.h"
#include "lib/knowledge/vector-failure.h"
#include "lib/knowledge/vector-state.h"

/* Fusing. */

size_t hybrid_depth(const struct VectorHits *hits, size_t top_k) {
        return hits && top_k < FUSE_DEPTH ? FUSE_DEPTH : top_k;
}

static char *verify_sql(const struct Project *project) {
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
        (void) fprintf(sql,
                "SELECT " EMBEDDED_TEXT ", %s FROM chunks"
                " JOIN documents ON documents.id = document_id WHERE chunks.id = ?1",
                project ? "EXISTS (SELECT 1 FROM scope WHERE documents.source = scope.source"
                          " AND documents.path >= scope.low AND documents.path < scope.high)"
                        : "1");
        return fclose(sql) == 0 ? text : NULL;
}

enum Verdict {
        VERDICT_GOOD,
        VERDICT_OUTSIDE, /* of the project: beside a root that is a single file */
        VERDICT_STALE,   /* the chunk is gone, or it is another one under the id */
};

static int judge(sqlite3 *db, sqlite3_stmt *row, const struct ChromaRecord *hit,
        enum Verdict *ret_verdict, struct Failure *failure) {
        char digest[DIGEST_HEX_SIZE];

        (void) sqlite3_reset(row);
        if (sqlite3_bind_int64(row, 1, hit->id) != SQLITE_OK)
                return failure_out_of_memory(failure);
        switch (sqlite3_step(row)) {
        case SQLITE_ROW:
                break;
        case SQLITE_DONE:
                *ret_verdict = VERDICT_STALE;
                return 0;
        default:
                return sqlite_failure(db, failure, "look for a chunk");
        }
        if (digest_buffer(
                    sqlite3_column_text(row, 0), (size_t) sqlite3_column_bytes(row, 0), digest) < 0)
                return failure_out_of_memory(failure);
        if (strcmp(digest, hit->digest) != 0)
                *ret_verdict = VERDICT_STALE;
        else
                *ret_verdict = sqlite3_column_int(row, 1) ? VERDICT_GOOD : VERDICT_OUTSIDE;
        return 0;
}

/* The hits that hold, in their order, into `ids`; the stale ones into the retrieval. */
static int verify(sqlite3 *db, const struct Project *project, const struct VectorHits *hits,
        int64_t *ids, size_t *ret_n, struct Retrieval *retrieval, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *row = NULL;
        _cleanup_free_ char *sql = verify_sql(project);
        size_t n = 0;
        int r;

        retrieval->stale = calloc(hits->n + 1, sizeof *retrieval->stale);
        if (!sql || !retrieval->stale)
                return failure_out_of_memory(failure);
        r = sqlite_prepare(db, sql, &row, failure);
        if (r < 0)
                return r;
        if (project && scope_bind(row, project, 2) < 0)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < hits->n; i++) {
                enum Verdict verdict = VERDICT_STALE;

                r = judge(db, row, &hits->list[i], &verdict, failure);
                if (r < 0)
                        return r;
                if (verdict == VERDICT_GOOD)
                        ids[n++] = hits->list[i].id;
                else if (verdict == VERDICT_STALE)
                        retrieval->stale[retrieval->n_stale++] = hits->list[i].id;
        }
        *ret_n = n;
        return 0;
}

int hybrid_fuse(sqlite3 *db, const struct Project *project, const struct VectorHits *hits,
        size_t top_k, struct Ranking *ranking, struct Retrieval *retrieval,
        struct Failure *failure) {
        _cleanup_free_ int64_t *by_words = NULL, *by_vectors = NULL;
        struct FuseList lists[2];
        struct Rank *best;
        size_t n;
        int r;

        if (!hits)
                return 0;
        by_words = calloc(ranking->n + 1, sizeof *by_words);
        by_vectors = calloc(hits->n + 1, sizeof *by_vectors);
        if (!by_words || !by_vectors)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < ranking->n; i++)
                by_words[i] = ranking->best[i].id;
        lists[0] = (struct FuseList){ by_words, ranking->n };
        r = verify(db, project, hits, by_vectors, &n, retrieval, failure);
        if (r < 0)
                return r;
        lists[1] = (struct FuseList){ by_vectors, n };
        if (fuse_lists(lists, 2, top_k, &best, &n) < 0)
                return failure_out_of_memory(failure);
        free(ranking->best);
        ranking->best = best;
        ranking->n = n;
        if (ranking->candidates < n) /* those that only vectors found */
                ranking->candidates = n;
        retrieval->mode = "hybrid";
        return 0;
}

/* Asking. */

static void free_list(char ***list) {
        for (char **text = *list; text && *text; text++)
                free(*text);
        free(*list);
}

static char *directories_sql(const struct Project *project) {
        return scope_sql(project,
                " SELECT DISTINCT " DOCUMENT_DIRECTORY " FROM scope CROSS JOIN documents"
                " WHERE documents.source = scope.source"
                " AND documents.path >= scope.low AND documents.path < scope.high");
}

/* NULL-terminated: the directories that the project's documents are in. */
static int find_directories(sqlite3 *db, const struct Project *project, char ***ret_directories,
        struct Failure *failure) {
        _cleanup_(free_list) char **directories = calloc(1, sizeof *directories);
        _cleanup_statement_ sqlite3_stmt *row = NULL;
        _cleanup_free_ char *sql = directories_sql(project);
        size_t n = 0;
        int r, code;

        if (!directories || !sql)
                return failure_out_of_memory(failure);
        r = sqlite_prepare(db, sql, &row, failure);
        if (r < 0)
                return r;
        if (scope_bind(row, project, 1) < 0)
                return failure_out_of_memory(failure);
        while ((code = sqlite3_step(row)) == SQLITE_ROW) {
                const char *text = (const char *) sqlite3_column_text(row, 0);
                char **grown;

                if (n == HYBRID_DIRECTORIES_MAX)
                        return vector_failure(failure, VECTOR_PROJECT, E2BIG,
                                "The project has more than %d directories; vectors are not "
                                "searched for it",
                                HYBRID_DIRECTORIES_MAX);
                grown = reallocarray(directories, n + 2, sizeof *grown);
                if (!grown)
                        return failure_out_of_memory(failure);
                directories = grown;
                grown[n + 1] = NULL;
                grown[n] = text ? strdup(text) : NULL;
                if (!grown[n++])
                        return failure_out_of_memory(failure);
        }
        if (code != SQLITE_DONE)
                return sqlite_failure(db, failure, "look for the directories of a project");
        *ret_directories = STEAL(directories);
        return 0;
}

static int ask(const struct Operation *operation, struct Vectors *vectors, sqlite3 *db,
        const struct Project *project, const char *prompt, size_t n, struct VectorHits *hits,
        struct Failure *failure) {
        _cleanup_(free_list) char **directories = NULL;
        char store[VECTOR_TOKEN_SIZE];
        int r;

        r = vector_state_store_id(db, store, failure);
        if (r >= 0 && project)
                r = find_directories(db, project, &directories, failure);
        if (r < 0)
                return r;
        if (project && !directories[0]) /* nothing is in it */
                return 0;
        return vectors_search(
                vectors, operation, store, prompt, n, directories, &hits->list, &hits->n, failure);
}

int hybrid_retrieve(const struct Operation *operation, struct Vectors *vectors, struct Store *store,
        const struct Project *project, const char *prompt, size_t top_k,
        struct Retrieval **ret_retrieval, struct Failure *failure) {
        _cleanup_retrieval_ struct Retrieval *retrieval = NULL;
        _cleanup_failure_ struct Failure cause = { 0 };
        struct VectorHits hits = { 0 };
        int r, asked;

        if (!vectors)
                return retrieve(store, project, prompt, top_k, ret_retrieval, failure);
        asked = ask(operation, vectors, store_database(store), project, prompt,
                hybrid_depth(&hits, top_k), &hits, &cause);
        r = retrieve_within(store, project, prompt, top_k, RETRIEVE_TIMEOUT_MS,
                asked >= 0 ? &hits : NULL, &retrieval, failure);
        free(hits.list);
        if (r < 0)
                return r;
        if (asked < 0 &&
                retrieval_degrade(retrieval, cause.code ? cause.code : event_code(cause.event),
                        "%s", failure_message(&cause)) < 0)
                return failure_out_of_memory(failure);
        *ret_retrieval = STEAL(retrieval);
        return 0;
}
