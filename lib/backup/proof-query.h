/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A question that a database must have an answer to: words out of its own chunks.
 */

#include "lib/base/operation.h"

/* Of the database of operation->layout, which is ours and of the current schema: words that are
 * quickly looked for, and all that those were taken from, for where none of them is found. "" where
 * it has no chunk; the caller frees both. The failures of sqlite_open(), DATABASE_FAILED. */
int proof_query(const struct Operation *operation, char **ret_rare, char **ret_all,
        struct Failure *failure);
