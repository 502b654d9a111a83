/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The copy of the project registry into a snapshot, as it is written. One that does not parse is
 * looked at again a few times (an editor may be at it), then left out with a warning: one broken
 * file must not stop the backups of the rest.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/backup/manifest.h"
#include "lib/base/json-document.h"
#include "lib/base/operation.h"

/* To `target_fd`, which is `target_path`. *ret_copied is false where there is none or it was left
 * out. */
int registry_copy(const struct Operation *operation, int target_fd, const char *target_path,
        struct Manifest *manifest, json_object *warnings, bool *ret_copied, uint64_t *ret_bytes,
        struct Failure *failure);
