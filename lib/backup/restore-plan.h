/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a restore will do, made of what it finds; nothing is touched.
 */

#include "lib/backup/check.h"
#include "lib/backup/manifest.h"
#include "lib/backup/restore.h"

/* The steps, which what is known of source and targets decides. `source` is what is validated and
 * staged: "snapshot", "archive", or NULL where that was done by a restore that was interrupted. */
int restore_plan_steps(const struct Layout *layout, struct Restore *restore, const char *source,
        struct Failure *failure);

/* Reads what the directory `path`, laid out like a snapshot, has to give: actions, bytes, counts.
 * *ret_manifest is NULL where there is none. RESTORE_REFUSED when it comes from another host and
 * restore->force is not set. */
int restore_plan_items(const char *path, struct Restore *restore, struct Manifest **ret_manifest,
        struct Failure *failure);

/* The same of an archive, which is read through for it. What is wrong with it is in the report. */
int restore_plan_archive(const struct Operation *operation, const struct RestoreOptions *options,
        struct Restore *restore, struct CheckReport **ret_report, struct Failure *failure);

/* RESTORE_REFUSED for targets that cannot be exchanged: links and mount points; PERMISSION_DENIED
 * for directories that could not be moved away. */
int restore_plan_targets(const struct Restore *restore, struct Failure *failure);

/* NO_SPACE where `bytes` would not fit beside the targets, or what is there now would not fit where
 * it is kept. `sample` is a file that is to be copied: where it can be cloned, it costs nothing.
 * NULL: none. */
int restore_plan_space(const struct Layout *layout, const struct Restore *restore, uint64_t bytes,
        const char *sample, struct Failure *failure);
