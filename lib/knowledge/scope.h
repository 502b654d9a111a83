/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which documents are a project's, as SQL: a project is a view of the sources by path. This is the
 * one place that decides it, for counting and for retrieval.
 */

#include <sqlite3.h>
#include <stdio.h>

#include "lib/knowledge/registry.h"

/* Defines `scope (source, low, high)`, to stand behind WITH. A document is of the project when
 * there is a row with its source and low <= path < high; a project without roots has no rows. Takes
 * scope_parameters() parameters, which are to be bound from `first` on. */
void scope_write(FILE *sql, const struct Project *project, int first);
int scope_parameters(const struct Project *project);
/* "WITH", that, and `rest`, with parameters from 1 on; caller frees; NULL when memory ran out. */
char *scope_sql(const struct Project *project, const char *rest);
/* `project` must outlive the statement. -ENOMEM. */
int scope_bind(sqlite3_stmt *statement, const struct Project *project, int first);
