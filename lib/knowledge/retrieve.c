/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/retrieve.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "lib/base/sqlite.h"
#include "lib/base/stamp.h"
#include "lib/knowledge/hybrid.h"
#include "lib/knowledge/lexical.h"
#include "lib/knowledge/prompt-words.h"

#define DEADLINE_CHECK_STEPS 100 /* of SQLite's virtual machine, in one statement */

/* Reading the chunks that won. */

struct Reader {
        sqlite3 *db;
        sqlite3_stmt *chunk;
        sqlite3_stmt *headings;
        struct Failure *failure;
};

static void reader_done(struct Reader *reader) {
        sqlite_resetp(&reader->chunk);
        sqlite_resetp(&reader->headings);
}

static int reader_prepare(struct Reader *reader, struct IndexReader *index) {
        int r;

        r = index_reader_prepare(index,
                "SELECT 'sources/' || source || '/' || path, chunks.title, heading_path,"
                " start_line, end_line, char_count, content, document_id, ordinal"
                " FROM chunks JOIN documents ON documents.id = document_id WHERE chunks.id = ?1",
                &reader->chunk, reader->failure);
        if (r < 0)
                return r;
        return index_reader_prepare(
                index, "SELECT value FROM json_each(?1)", &reader->headings, reader->failure);
}

static char *column_copy(sqlite3_stmt *statement, int column, size_t *ret_size) {
        const void *text = sqlite3_column_text(statement, column);
        size_t size = (size_t) sqlite3_column_bytes(statement, column);
        char *copy = text ? malloc(size + 1) : NULL;

        if (!copy)
                return NULL;
        memcpy(copy, text, size);
        copy[size] = '\0';
        if (ret_size)
                *ret_size = size;
        return copy;
}

static int read_headings(struct Reader *reader, sqlite3_value *json, char ***ret_headings) {
        size_t n = 0;
        int code;

        (void) sqlite3_reset(reader->headings);
        if (sqlite3_bind_value(reader->headings, 1, json) != SQLITE_OK)
                return failure_out_of_memory(reader->failure);
        *ret_headings = calloc(1, sizeof **ret_headings);
        if (!*ret_headings)
                return failure_out_of_memory(reader->failure);

        while ((code = sqlite3_step(reader->headings)) == SQLITE_ROW) {
                char **more = reallocarray(*ret_headings, n + 2, sizeof *more);

                if (!more)
                        return failure_out_of_memory(reader->failure);
                *ret_headings = more;
                more[n] = column_copy(reader->headings, 0, NULL);
                if (!more[n])
                        return failure_out_of_memory(reader->failure);
                more[++n] = NULL;
        }
        return code == SQLITE_DONE ? 0
                                   : sqlite_failure(reader->db, reader->failure, "read headings");
}

static int read_chunk(struct Reader *reader, const struct Rank *rank, struct Chunk *chunk) {
        sqlite3_stmt *row = reader->chunk;

        (void) sqlite3_reset(row);
        if (sqlite3_bind_int64(row, 1, rank->id) != SQLITE_OK)
                return failure_out_of_memory(reader->failure);
        switch (sqlite3_step(row)) {
        case SQLITE_ROW:
                break;
        case SQLITE_DONE:
                return failure_set(reader->failure, EVENT_DATABASE_INVALID, 0,
                        sqlite3_db_filename(reader->db, "main"),
                        "The index knows chunk %" PRIi64 ", which does not exist; restore the "
                        "newest valid snapshot, or move the database away and ingest again",
                        rank->id);
        default:
                return sqlite_failure(reader->db, reader->failure, "read a chunk");
        }

        chunk->id = rank->id;
        chunk->score = rank->score;
        chunk->document_id = sqlite3_column_int64(row, 7);
        chunk->ordinal = (uint64_t) sqlite3_column_int64(row, 8);
        chunk->start_line = (uint64_t) sqlite3_column_int64(row, 3);
        chunk->end_line = (uint64_t) sqlite3_column_int64(row, 4);
        chunk->char_count = (uint64_t) sqlite3_column_int64(row, 5);
        chunk->source_file = column_copy(row, 0, NULL);
        chunk->title = column_copy(row, 1, NULL);
        chunk->content = column_copy(row, 6, &chunk->content_size);
        if (!chunk->source_file || !chunk->title || !chunk->content)
                return failure_out_of_memory(reader->failure);
        return read_headings(reader, sqlite3_column_value(row, 2), &chunk->heading_path);
}

static int read_chunks(struct IndexReader *index, const struct Ranking *ranking,
        struct Retrieval *retrieval, struct Failure *failure) {
        _cleanup_(reader_done) struct Reader reader = {
                .db = index_reader_database(index),
                .failure = failure,
        };
        size_t size = 0;
        int r;

        r = reader_prepare(&reader, index);
        if (r < 0)
                return r;
        retrieval->chunks = calloc(ranking->n + 1, sizeof *retrieval->chunks);
        if (!retrieval->chunks)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < ranking->n && size < RETRIEVE_CONTENT_MAX; i++) {
                retrieval->n_chunks = i + 1;
                r = read_chunk(&reader, &ranking->best[i], &retrieval->chunks[i]);
                if (r < 0)
                        return r;
                size += retrieval->chunks[i].content_size;
        }
        if (retrieval->n_chunks < ranking->n &&
                retrieval_degrade(retrieval, "answer_cut",
                        "the first %zu of %zu chunks have %zu MiB of text, and that is as much as "
                        "an answer may have",
                        retrieval->n_chunks, ranking->n, size >> 20) < 0)
                return failure_out_of_memory(failure);
        return 0;
}

static int search(struct IndexReader *index, const struct Project *project,
        const struct PromptWords *words, size_t top_k, const struct VectorHits *hits,
        struct Retrieval *retrieval, struct Failure *failure) {
        _cleanup_(ranking_done) struct Ranking ranking = { 0 };
        sqlite3 *db = index_reader_database(index);
        int r;

        /* One read transaction: what was ranked is what is read. */
        r = sqlite_execute(db, "BEGIN", failure);
        if (r < 0)
                return r;
        sqlite3 *transaction _cleanup_rollback_ = db;

        if (words->n_words > 0)
                r = lexical_rank(
                        index, project, words, hybrid_depth(hits, top_k), &ranking, failure);
        if (r >= 0)
                r = hybrid_fuse(transaction, project, hits, top_k, &ranking, retrieval, failure);
        if (r < 0)
                return r;
        retrieval->candidates = ranking.candidates;
        return read_chunks(index, &ranking, retrieval, failure);
}

struct Deadline {
        uint64_t at; /* monotonic_ms */
        bool missed;
};

static int check_deadline(void *userdata) {
        struct Deadline *deadline = userdata;

        deadline->missed = monotonic_ms() >= deadline->at;
        return deadline->missed;
}

static int search_within(struct IndexReader *index, const struct Project *project,
        const struct PromptWords *words, size_t top_k, uint64_t timeout_ms,
        const struct VectorHits *hits, struct Retrieval *retrieval, struct Failure *failure) {
        struct Deadline deadline = { .at = monotonic_ms() + timeout_ms };
        _cleanup_failure_ struct Failure cause = { 0 };
        sqlite3 *db = index_reader_database(index);
        int r;

        sqlite3_progress_handler(db, DEADLINE_CHECK_STEPS, check_deadline, &deadline);
        r = search(index, project, words, top_k, hits, retrieval, &cause);
        sqlite3_progress_handler(db, 0, NULL, NULL);
        if (r < 0 && deadline.missed)
                return failure_set(failure, EVENT_QUERY_TIMEOUT, ETIMEDOUT, NULL,
                        "The search took more than %" PRIu64 " ms and was given up; ask with "
                        "fewer or rarer words, or within a project",
                        timeout_ms);
        if (r < 0 && failure && !failure_is_set(failure))
                failure_move(failure, &cause);
        return r;
}

static int find_words(struct IndexReader *index, const char *prompt, struct PromptWords **ret_words,
        struct Failure *failure) {
        struct Analyzer *analyzer;

        return index_reader_analyzer(index, &analyzer) < 0
                ? failure_out_of_memory(failure)
                : prompt_words_find(analyzer, prompt, ret_words, failure);
}

int retrieve_within(struct Store *store, const struct Project *project, const char *prompt,
        size_t top_k, uint64_t timeout_ms, const struct VectorHits *hits,
        struct Retrieval **ret_retrieval, struct Failure *failure) {
        _cleanup_retrieval_ struct Retrieval *retrieval = calloc(1, sizeof *retrieval);
        _cleanup_prompt_words_ struct PromptWords *words = NULL;
        struct IndexReader *index = store_index_reader(store);
        int r;

        if (!retrieval)
                return failure_out_of_memory(failure);
        retrieval->mode = "lexical";

        r = find_words(index, prompt, &words, failure);
        if (r < 0)
                return r;
        if (words->cut &&
                retrieval_degrade(retrieval, "prompt_cut",
                        "only the first %d different words of the prompt were used",
                        PROMPT_WORDS_MAX) < 0)
                return failure_out_of_memory(failure);
        if (words->n_words > 0 || hits) {
                r = search_within(
                        index, project, words, top_k, timeout_ms, hits, retrieval, failure);
                if (r < 0)
                        return r;
        }

        *ret_retrieval = STEAL(retrieval);
        return 0;
}

int retrieve(struct Store *store, const struct Project *project, const char *prompt, size_t top_k,
        struct Retrieval **ret_retrieval, struct Failure *failure) {
        return retrieve_within(
                store, project, prompt, top_k, RETRIEVE_TIMEOUT_MS, NULL, ret_retrieval, failure);
}

static int explain(struct IndexReader *index, const struct Project *project,
        const struct PromptWords *words, size_t top_k, struct Retrieval *retrieval,
        struct Failure *failure) {
        _cleanup_(ranking_done) struct Ranking ranking = { 0 };
        sqlite3 *db _cleanup_rollback_ = index_reader_database(index);
        int r;

        r = sqlite_execute(db, "BEGIN", failure);
        if (r >= 0)
                r = lexical_rank(index, project, words, top_k, &ranking, failure);
        for (size_t i = 0; r >= 0 && i < retrieval->n_chunks; i++)
                r = explain_chunk(index, &ranking, retrieval->chunks[i].id,
                        &retrieval->chunks[i].explanation, failure);
        return r;
}

int retrieve_explain(struct Store *store, const struct Project *project, const char *prompt,
        size_t top_k, struct Retrieval *retrieval, struct Failure *failure) {
        _cleanup_prompt_words_ struct PromptWords *words = NULL;
        struct IndexReader *index = store_index_reader(store);
        int r;

        r = find_words(index, prompt, &words, failure);
        if (r < 0 || words->n_words == 0)
                return r;
        return explain(index, project, words, top_k, retrieval, failure);
}

int retrieval_degrade(struct Retrieval *retrieval, const char *code, const char *format, ...) {
        _cleanup_free_ char *why = NULL;
        va_list arguments;
        size_t n = 0;
        char **grown;
        int r;

        va_start(arguments, format);
        r = vasprintf(&why, format, arguments);
        va_end(arguments);
        if (r < 0) {
                why = NULL;
                return -ENOMEM;
        }
        while (retrieval->degraded && retrieval->degraded[n])
                n++;
        grown = reallocarray(retrieval->degraded, n + 2, sizeof *grown);
        if (!grown)
                return -ENOMEM;
        retrieval->degraded = grown;
        grown[n] = grown[n + 1] = NULL;
        if (asprintf(&grown[n], "%s: %s", code, why) >= 0)
                return 0;
        grown[n] = NULL;
        return -ENOMEM;
}

static void free_strings(char **strings) {
        for (size_t i = 0; strings && strings[i]; i++)
                free(strings[i]);
        free(strings);
}

struct Retrieval *retrieval_free(struct Retrieval *retrieval) {
        if (!retrieval)
                return NULL;
        for (size_t i = 0; i < retrieval->n_chunks; i++) {
                free(retrieval->chunks[i].source_file);
                free(retrieval->chunks[i].title);
                free_strings(retrieval->chunks[i].heading_path);
                free(retrieval->chunks[i].content);
                (void) explanation_free(retrieval->chunks[i].explanation);
        }
        free(retrieval->chunks);
        free_strings(retrieval->degraded);
        free(retrieval->stale);
        free(retrieval);
        return NULL;
}
