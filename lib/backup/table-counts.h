/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a copied database holds, for the metadata: rows of each ordinary table, and its
 * user_version.
 */

#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/base/json-document.h"

/* Of the database in the snapshot `directory`. Views, virtual tables and what belongs to these are
 * not counted. Adds table → rows to the object `counts`; null where only the program that made the
 * table can read it. */
int table_counts(const char *directory, json_object *counts, int64_t *ret_user_version,
        struct Failure *failure);
