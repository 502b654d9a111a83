/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * backups/state/<stamp>.json: the pin and the last verdict of a snapshot, outside what its
 * checksums seal: {"pinned","validation":{"valid","validated_at","errors"}}.
 */

#include <json-c/json.h>
#include <stdbool.h>

#include "lib/base/operation.h"

/* Absent or unreadable: *ret_state is NULL, 0. Only -ENOMEM and I/O errors are returned. */
int state_load(const struct Layout *layout, const char *stamp, struct json_object **ret_state);

/* Replace one member and keep the rest. WRITE_FAILED and its like. */
int state_set_pinned(
        const struct Layout *layout, const char *stamp, bool pinned, struct Failure *failure);
int state_set_validation(const struct Layout *layout, const char *stamp,
        struct json_object *validation, struct Failure *failure);
/* When the snapshot is deleted. Absent is fine. */
int state_remove(const struct Layout *layout, const char *stamp);
