/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The removals that ingests refused and that stand: in `state`, as `removal_refused/` and the path
 * below the sources, with the sentence that says why. Somebody is to act, and until then /health
 * says so.
 */

#include <sqlite3.h>
#include <stdbool.h>

#include "lib/base/failure.h"

/* Written when it is another than before only. */
int refusal_put(sqlite3 *db, const char *source, const char *subpath, const char *sentence,
        struct Failure *failure);
/* Of `subpath`, "" for all of the source, and of all below it: they were looked at and are none. */
int refusal_clear(sqlite3 *db, const char *source, const char *subpath, struct Failure *failure);
/* 1 where one stands in the source. */
int refusal_stands(sqlite3 *db, const char *source, struct Failure *failure);
/* The first of them, NULL where there is none; caller frees. */
int refusal_first(sqlite3 *db, char **ret_sentence, struct Failure *failure);
