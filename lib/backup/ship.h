/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Sends to a place off this machine (offsite.h) what is not there yet, the newest first, and lets
 * retention decide there as it does here: what it would not keep is not sent, and what it does not
 * keep any more is deleted, once all that was to be sent is there.
 */

#include "lib/backup/offsite.h"
#include "lib/backup/retention.h"

struct json_object;

enum ShipVerdict {
        SHIP_THERE,    /* and proven to be right */
        SHIP_SEND,     /* to be sent, or what was sent */
        SHIP_VERIFY,   /* there, not proven (a run was cut short): to be read back, or was */
        SHIP_NOT_KEPT, /* retention would delete it there */
        SHIP_INVALID,  /* is not valid here: never sent */
};

struct ShipEntry {
        struct OffsiteItem item;
        enum ShipVerdict verdict;
        bool done; /* sent, or read back */
};

struct ShipResult {
        char *place;               /* offsite=, without passwords */
        struct ShipEntry *entries; /* what is here, oldest first */
        size_t n_entries;
        struct RetentionPlan *plan; /* of what is there and what is sent, by its stamps; NULL where
                                       retention is not asked */
        uint64_t deleted;           /* stamps, there */
        uint64_t bytes_sent;        /* of what was sent, before deduplication */
        uint64_t duration_ms;
        bool dry_run;
};

struct ShipOptions {
        char *const *stamps; /* these only, "latest" for the newest; then nothing is deleted */
        size_t n_stamps;
        bool dry_run; /* decides, and touches nothing */
};

/* Each item is sent under the shared backups lock, which is let go between two, so that whoever
 * prunes gets his turn. It is checked before it goes. SHIPPED and OFFSITE_DELETED by
 * operation->notice.
 *
 * A copy of an earlier run that is not known to be right is read back; when it is not it is told of
 * (OFFSITE_MISMATCH by operation->notice), deleted and sent anew.
 *
 * BACKUP_ROOT_MISSING, SNAPSHOT_NOT_FOUND, STAMP_INVALID and what keeps the list from being had
 * leave the result untouched. After that it is set, whatever is returned: SNAPSHOT_INVALID and
 * OFFSITE_MISMATCH are of one item and do not keep the others from being sent; OFFSITE_FAILED,
 * LOCK_BUSY, INTERRUPTED end the run. */
int ship_run(const struct Operation *operation, const struct Offsite *offsite,
        const struct ShipOptions *options, struct ShipResult **ret_result, struct Failure *failure);
struct ShipResult *ship_result_free(struct ShipResult *result);
DEFINE_POINTER_CLEANUP(struct ShipResult *, ship_result_free)
#define _cleanup_ship_result_ _cleanup_(ship_result_freep)

size_t ship_count(const struct ShipResult *result, enum ShipVerdict verdict, bool done);
const char *ship_verdict_name(enum ShipVerdict verdict);

/* {"offsite","entries":[{"name","stamp","verdict","done"}],"sent","verified","deleted",
 * "bytes_sent","duration_ms","dry_run","retention"}. NULL when memory ran out. */
struct json_object *ship_result_to_json(const struct ShipResult *result);

/* Reads back all of this host's copies there, or those of these stamps. What is found is
 * OFFSITE_MISMATCH and deletes nothing; the rest is read all the same. Where it is here as well the
 * next ship_run() replaces it. */
int ship_verify(const struct Operation *operation, const struct Offsite *offsite,
        char *const *stamps, size_t n_stamps, uint64_t *ret_verified, struct Failure *failure);

/* Brings the copy of that stamp back ("latest": the newest) to where it belongs, checked before it
 * has its name there. *ret_path is the caller's. SNAPSHOT_NOT_FOUND, STAMP_INVALID,
 * BACKUP_ROOT_MISSING; WRITE_FAILED (-EEXIST) where it is here already; OFFSITE_MISMATCH where what
 * came is not valid. Nothing is left then. */
int ship_fetch(const struct Operation *operation, const struct Offsite *offsite, const char *stamp,
        char **ret_path, uint64_t *ret_bytes, struct Failure *failure);
