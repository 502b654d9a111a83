/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is here that could be elsewhere, and whether it is right.
 */

#include "lib/backup/ship.h"

/* All snapshots, or all archives, that have a stamp, oldest first; invalid ones are SHIP_INVALID,
 * the others SHIP_SEND. */
int ship_items(const struct Operation *operation, const struct Offsite *offsite,
        struct ShipEntry **ret_entries, size_t *ret_n, struct Failure *failure);
void ship_entries_free(struct ShipEntry *entries, size_t n);

/* "stamp", "latest": STAMP_INVALID for what is neither. */
int ship_parse_stamp(const char *text, struct Failure *failure);

/* Its bytes are filled in. SNAPSHOT_INVALID (-EBADMSG) with what is wrong; -ENOENT without a
 * failure when it is gone. */
int ship_check_item(const struct Operation *operation, const struct Offsite *offsite,
        struct OffsiteItem *item, struct Failure *failure);

/* Whether what is in an archive can be looked at without a key. */
bool ship_is_readable(const char *name);

/* The first error of the report, for a sentence; the caller frees. NULL: out of memory. */
struct CheckReport;
char *ship_first_error(const struct CheckReport *report);
