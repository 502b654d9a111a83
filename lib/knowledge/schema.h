/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The tables of atocore.db and the ladder of migrations (PRAGMA user_version). Only a database that
 * bears our application_id, or an empty one, is ever created in or migrated.
 */

#include <sqlite3.h>

#include "lib/base/failure.h"

#define SCHEMA_VERSION 1

enum SchemaState {
        SCHEMA_EMPTY,   /* no table yet, ours to create */
        SCHEMA_CURRENT, /* ours, at SCHEMA_VERSION */
        SCHEMA_OLD,     /* ours, an earlier version */
        SCHEMA_TOO_NEW, /* ours, from a later AtoCore: not touched */
        SCHEMA_FOREIGN, /* written by something else: not touched */
};

/* Reads only. */
int schema_inspect(
        sqlite3 *db, enum SchemaState *ret_state, int64_t *ret_version, struct Failure *failure);

/* Brings the database to SCHEMA_VERSION in one transaction. DATABASE_FOREIGN or DATABASE_TOO_NEW
 * (-EMEDIUMTYPE) when it must not be touched. */
int schema_migrate(sqlite3 *db, struct Failure *failure);
