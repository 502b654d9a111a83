/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/interaction.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/sqlite.h"

#define COLUMNS                                                                                    \
        "created_at, prompt, response, response_summary, project_id, client, session_id,"          \
        " chunks_used, context_pack"

/* The texts of an interaction, in the order of COLUMNS behind created_at. */
#define N_TEXTS 8
static char **text_of(struct Interaction *interaction, int index) {
        char **const texts[N_TEXTS] = { &interaction->prompt, &interaction->response,
                &interaction->response_summary, &interaction->project_id, &interaction->client,
                &interaction->session_id, &interaction->chunks_used, &interaction->context_pack };

        return texts[index];
}

int interaction_save(
        struct Store *store, struct Interaction *interaction, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        sqlite3 *db = store_database(store);
        int r;

        r = sqlite_prepare(db,
                "INSERT INTO interactions (" COLUMNS
                ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_bind_int64(statement, 1, interaction->created_at) != SQLITE_OK)
                return sqlite_failure(db, failure, "save an interaction");
        for (int i = 0; i < N_TEXTS; i++)
                if (sqlite3_bind_text(statement, i + 2, *text_of(interaction, i), -1,
                            SQLITE_STATIC) != SQLITE_OK)
                        return sqlite_failure(db, failure, "save an interaction");

        /* A transaction of its own: with the step it is in the log, synced. */
        if (sqlite3_step(statement) != SQLITE_DONE)
                return sqlite_failure(db, failure, "save an interaction");
        interaction->id = sqlite3_last_insert_rowid(db);
        return 0;
}

static void clear(struct Interaction *interaction) {
        for (int i = 0; i < N_TEXTS; i++) {
                free(*text_of(interaction, i));
                *text_of(interaction, i) = NULL;
        }
}

/* A row of `SELECT id, COLUMNS`. What was read so far is the caller's also on failure. */
static int read_row(sqlite3_stmt *row, struct Interaction *interaction, size_t *ret_size) {
        size_t size = 0;

        *interaction = (struct Interaction){ .id = sqlite3_column_int64(row, 0),
                .created_at = sqlite3_column_int64(row, 1) };
        for (int i = 0; i < N_TEXTS; i++) {
                if (sqlite3_column_type(row, i + 2) == SQLITE_NULL)
                        continue;
                const char *text = (const char *) sqlite3_column_text(row, i + 2);
                char *copy = text ? strdup(text) : NULL;
                if (!copy)
                        return -ENOMEM;
                *text_of(interaction, i) = copy;
                size += (size_t) sqlite3_column_bytes(row, i + 2);
        }
        *ret_size = size;
        return 0;
}

int interaction_get(struct Store *store, int64_t id, struct Interaction **ret_interaction,
        struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        _cleanup_interaction_ struct Interaction *interaction = NULL;
        sqlite3 *db = store_database(store);
        size_t size;
        int r;

        r = sqlite_prepare(
                db, "SELECT id, " COLUMNS " FROM interactions WHERE id = ?1", &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_bind_int64(statement, 1, id) != SQLITE_OK)
                return sqlite_failure(db, failure, "read an interaction");
        switch (sqlite3_step(statement)) {
        case SQLITE_ROW:
                break;
        case SQLITE_DONE:
                return -ENOENT;
        default:
                return sqlite_failure(db, failure, "read an interaction");
        }

        interaction = malloc(sizeof *interaction);
        if (!interaction)
                return failure_out_of_memory(failure);
        if (read_row(statement, interaction, &size) < 0)
                return failure_out_of_memory(failure);
        *ret_interaction = STEAL(interaction);
        return 0;
}

/* Listing. Only the conditions that are asked for, so that each can use its index. */

#define PARAMETER_LIMIT 6

static char *list_sql(const struct InteractionFilter *filter) {
        char *sql = NULL;
        int r = asprintf(&sql,
                "SELECT id, " COLUMNS " FROM interactions WHERE 1%s%s%s%s%s"
                " ORDER BY id DESC LIMIT ?6",
                filter->project_id ? " AND project_id = ?1" : "",
                filter->session_id ? " AND session_id = ?2" : "",
                filter->client ? " AND client = ?3" : "",
                filter->since > INT64_MIN ? " AND created_at >= ?4" : "",
                filter->before != 0 ? " AND id < ?5" : "");

        return r < 0 ? NULL : sql;
}

static bool bind_filter(
        sqlite3_stmt *statement, const struct InteractionFilter *filter, uint64_t limit) {
        const char *const texts[] = { filter->project_id, filter->session_id, filter->client };

        for (int i = 0; i < 3; i++)
                if (texts[i] &&
                        sqlite3_bind_text(statement, i + 1, texts[i], -1, SQLITE_STATIC) !=
                                SQLITE_OK)
                        return false;
        if (filter->since > INT64_MIN &&
                sqlite3_bind_int64(statement, 4, filter->since) != SQLITE_OK)
                return false;
        if (filter->before != 0 && sqlite3_bind_int64(statement, 5, filter->before) != SQLITE_OK)
                return false;
        /* One more, to know whether there is a next page. */
        return sqlite3_bind_int64(statement, PARAMETER_LIMIT, (int64_t) limit + 1) == SQLITE_OK;
}

struct Page {
        struct Interaction *rows;
        size_t n, max;
        size_t bytes;
        int64_t next;
};

static void page_done(struct Page *page) {
        interaction_list_free(page->rows, page->n);
}

static int read_page(
        sqlite3 *db, sqlite3_stmt *statement, struct Page *page, struct Failure *failure) {
        int code;

        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
                if (page->n == page->max || page->bytes >= INTERACTION_PAGE_BYTES) {
                        page->next = page->rows[page->n - 1].id;
                        return 0;
                }
                size_t size;
                if (read_row(statement, &page->rows[page->n++], &size) < 0)
                        return failure_out_of_memory(failure);
                page->bytes += size;
        }
        return code == SQLITE_DONE ? 0 : sqlite_failure(db, failure, "list interactions");
}

int interaction_list(struct Store *store, const struct InteractionFilter *filter,
        struct Interaction **ret_interactions, size_t *ret_n, int64_t *ret_next,
        struct Failure *failure) {
        uint64_t limit =
                filter->limit > INTERACTION_LIMIT_MAX ? INTERACTION_LIMIT_MAX : filter->limit;
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        _cleanup_free_ char *sql = list_sql(filter);
        _cleanup_(page_done) struct Page page = { 0 };
        sqlite3 *db = store_database(store);
        int r;

        if (limit == 0)
                limit = INTERACTION_LIMIT_DEFAULT;
        page.max = limit;
        page.rows = calloc(limit, sizeof *page.rows);
        if (!sql || !page.rows)
                return failure_out_of_memory(failure);
        r = sqlite_prepare(db, sql, &statement, failure);
        if (r < 0)
                return r;
        if (!bind_filter(statement, filter, limit))
                return sqlite_failure(db, failure, "list interactions");
        r = read_page(db, statement, &page, failure);
        if (r < 0)
                return r;

        *ret_n = page.n;
        *ret_next = page.next;
        page.n = 0;
        *ret_interactions = STEAL(page.rows);
        return 0;
}

struct Interaction *interaction_free(struct Interaction *interaction) {
        if (!interaction)
                return NULL;
        clear(interaction);
        free(interaction);
        return NULL;
}

void interaction_list_free(struct Interaction *interactions, size_t n) {
        for (size_t i = 0; i < n; i++)
                clear(&interactions[i]);
        free(interactions);
}
