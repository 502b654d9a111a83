/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The last two files of a snapshot: backup-metadata.json, and SHA256SUMS over everything else. With
 * them it is complete, under the stamp that they name.
 */

#include "lib/backup/manifest.h"
#include "lib/backup/metadata.h"
#include "lib/backup/staging.h"

/* `manifest` lists the other files and gets the metadata's line. */
int seal_snapshot(const struct Staging *staging, struct Manifest *manifest,
        const struct Metadata *metadata, const struct CheckReport *report,
        json_object **ret_metadata, struct Failure *failure);

/* Takes both files away again, for another stamp. */
int unseal_snapshot(const struct Staging *staging, struct Failure *failure);
