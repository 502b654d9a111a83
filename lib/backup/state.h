/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * backups/state/<stamp>.json: the pin and the last verdict of a snapshot, outside what its
 * checksums seal: {"pinned","validation":{"valid","validated_at","errors"}}. Either member may be
 * absent: then what the snapshot's own metadata says counts. "offsite" is of a copy elsewhere.
 *
 * Writers (a pin and a verdict at the same time) take a flock on the directory for as long as one
 * small file is read and replaced, so that neither loses what the other wrote. Readers need none:
 * a file is replaced whole. The lock is the innermost of all.
 */

#include <json-c/json.h>
#include <stdbool.h>

#include "lib/base/operation.h"

/* Absent or unreadable: *ret_state is NULL, 0. Only -ENOMEM and I/O errors are returned. */
int state_load(const struct Layout *layout, const char *stamp, struct json_object **ret_state);

/* What a state says, or `otherwise` where it does not. `state` may be NULL. */
bool state_pinned(struct json_object *state, bool otherwise);
bool state_valid(struct json_object *state, bool otherwise);

/* Replace one member and keep the rest; a broken file is replaced whole. backups/state is made when
 * absent, backups/ is not. WRITE_FAILED and its like, LOCK_BUSY, STAMP_INVALID. `validation` stays
 * the caller's. */
int state_set_pinned(
        const struct Layout *layout, const char *stamp, bool pinned, struct Failure *failure);
int state_set_validation(const struct Layout *layout, const char *stamp,
        struct json_object *validation, struct Failure *failure);

/* {"place","verified_at"}: where its copy off this machine was last found to be right. `place`
 * NULL: nowhere. */
int state_set_offsite(const struct Layout *layout, const char *stamp, const char *place,
        int64_t verified_at, struct Failure *failure);
/* When that was, as it is written (in `state`), or NULL where it was not at this place. */
const char *state_offsite_verified_at(struct json_object *state, const char *place);

/* When the snapshot is deleted. On disk when it returns. Absent is fine. */
int state_remove(const struct Layout *layout, const char *stamp);

/* Temporary files of writers that died. *ret_removed counts them (may be NULL). */
int state_remove_leftovers(const struct Layout *layout, uint64_t *ret_removed);
