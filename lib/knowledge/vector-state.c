/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/vector-state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/sqlite.h"

int vector_token_new(char ret_token[VECTOR_TOKEN_SIZE], struct Failure *failure) {
        unsigned char bytes[(VECTOR_TOKEN_SIZE - 1) / 2];

        if (getrandom(bytes, sizeof bytes, 0) != (ssize_t) sizeof bytes)
                return failure_set(failure, EVENT_INTERNAL_ERROR, errno, NULL,
                        "Cannot get random numbers: %m");
        for (size_t i = 0; i < sizeof bytes; i++)
                (void) snprintf(ret_token + 2 * i, 3, "%02x", bytes[i]);
        return 0;
}

/* "" where there is none, or one that does not fit. */
static int get(sqlite3 *db, const char *key, char *text, size_t size, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        const char *value;
        int r;

        text[0] = '\0';
        r = sqlite_prepare(db, "SELECT value FROM state WHERE key = ?1", &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC) != SQLITE_OK)
                return failure_out_of_memory(failure);
        switch (sqlite3_step(statement)) {
        case SQLITE_ROW:
                value = (const char *) sqlite3_column_text(statement, 0);
                if (value && strlen(value) < size)
                        strcpy(text, value);
                return 0;
        case SQLITE_DONE:
                return 0;
        default:
                return sqlite_failure(db, failure, "read the state of vectors");
        }
}

static int set(sqlite3 *db, const char *key, const char *value, struct Failure *failure) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        int r;

        r = sqlite_prepare(db,
                "INSERT INTO state (key, value) VALUES (?1, ?2)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                &statement, failure);
        if (r < 0)
                return r;
        if (sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC) != SQLITE_OK ||
                sqlite3_bind_text(statement, 2, value, -1, SQLITE_STATIC) != SQLITE_OK)
                return failure_out_of_memory(failure);
        return sqlite3_step(statement) == SQLITE_DONE
                ? 0
                : sqlite_failure(db, failure, "write the state of vectors");
}

int vector_state_store_id(sqlite3 *db, char ret_id[VECTOR_TOKEN_SIZE], struct Failure *failure) {
        return get(db, "store_id", ret_id, VECTOR_TOKEN_SIZE, failure);
}

int vector_state_make_store_id(
        sqlite3 *db, char ret_id[VECTOR_TOKEN_SIZE], struct Failure *failure) {
        int r;

        r = vector_state_store_id(db, ret_id, failure);
        if (r < 0 || ret_id[0] != '\0')
                return r;
        r = vector_token_new(ret_id, failure);
        return r < 0 ? r : set(db, "store_id", ret_id, failure);
}

int vector_state_load(sqlite3 *db, struct VectorState *ret_state, struct Failure *failure) {
        struct VectorState state = { 0 };
        char text[128];
        int r;

        r = get(db, "vectors", text, sizeof text, failure);
        if (r < 0)
                return r;
        if (sscanf(text, "%32s %" SCNi64 " %" SCNi64 " %" SCNi64, state.token, &state.last_id,
                    &state.chunks, &state.vectors) != 4)
                state = (struct VectorState){ 0 };
        *ret_state = state;
        return 0;
}

int vector_state_save(sqlite3 *db, const struct VectorState *state, struct Failure *failure) {
        char text[128];

        (void) snprintf(text, sizeof text, "%s %" PRIi64 " %" PRIi64 " %" PRIi64, state->token,
                state->last_id, state->chunks, state->vectors);
        return set(db, "vectors", text, failure);
}

int vector_state_look(sqlite3 *db, struct VectorState *state, struct Failure *failure) {
        int r;

        r = sqlite_query_int64(db, "SELECT seq FROM sqlite_sequence WHERE name = 'chunks'",
                &state->last_id, failure);
        return r < 0
                ? r
                : sqlite_query_int64(db, "SELECT count(*) FROM chunks", &state->chunks, failure);
}
