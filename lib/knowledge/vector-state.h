/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the database remembers of its vectors, in `state`: who it is (`store_id`, which the
 * collection bears), and how things stood when all of its chunks had last been dealt with
 * (`vectors`). Chunks are never changed, only added under ids that were never used before and
 * removed: as long as the highest id ever used and the number of chunks are the same, so are the
 * chunks.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "lib/base/failure.h"

#define VECTOR_TOKEN_SIZE 33 /* 32 hex digits and a NUL */

struct VectorState {
        char token[VECTOR_TOKEN_SIZE]; /* which the collection got from the run; "": never */
        int64_t last_id;               /* highest id of a chunk ever used */
        int64_t chunks;
        int64_t vectors; /* less than chunks where the server refused some */
};

/* "" where it has none yet. */
int vector_state_store_id(sqlite3 *db, char ret_id[VECTOR_TOKEN_SIZE], struct Failure *failure);
/* The same; one is made and written. */
int vector_state_make_store_id(
        sqlite3 *db, char ret_id[VECTOR_TOKEN_SIZE], struct Failure *failure);

/* As it was saved; all zero where it was not. */
int vector_state_load(sqlite3 *db, struct VectorState *ret_state, struct Failure *failure);
int vector_state_save(sqlite3 *db, const struct VectorState *state, struct Failure *failure);
/* last_id and chunks as they are now. */
int vector_state_look(sqlite3 *db, struct VectorState *state, struct Failure *failure);

/* 128 bits that nobody had before. */
int vector_token_new(char ret_token[VECTOR_TOKEN_SIZE], struct Failure *failure);
