/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What can be wrong with a database of its own: it does not open, its pages or its references do
 * not fit together.
 */

#include "lib/backup/check.h"

/* Adds the findings of the database file `path`, under the name that it has in a snapshot; what
 * could not be looked at is a warning. References are looked at on a thread of their own beside
 * everything else. A failure means that it could not be told: IO_ERROR, OUT_OF_MEMORY, INTERRUPTED,
 * PERMISSION_DENIED. */
int check_database(const struct Operation *operation, const char *path, struct CheckReport *report,
        struct Failure *failure);
