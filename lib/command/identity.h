/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * As whom a program acts.
 */

#include "lib/base/failure.h"
#include "lib/base/layout.h"

/* Started as root: become the owner of the storage root for good, with the groups that a login of
 * that user has, so that nothing root-owned is left behind and no link planted there is followed
 * with root's rights. A root that belongs to root is served as root. Not root: the identity stays.
 * The umask becomes 0027 in every case. STORAGE_ROOT_MISSING, PERMISSION_DENIED. */
int command_assume_identity(const struct Layout *layout, struct Failure *failure);
