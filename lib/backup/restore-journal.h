/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * data/restore-journal.json: what a restore is about to do, written before it does it, so that
 * whoever comes after a crash can end it.
 * {"version":1,"phase":"exchange"|"commit","stamp","source",
 * "safety","raw","counts","items":[{"what","action","inode","bytes"}]}
 */

#include "lib/backup/restore.h"
#include "lib/base/failure.h"
#include "lib/base/layout.h"

/* A plan without actions: the targets and staging names of the layout. NULL: out of memory. */
struct Restore *restore_new(const struct Layout *layout);

/* On disk when it returns. */
int restore_journal_write(
        const struct Layout *layout, const struct Restore *restore, struct Failure *failure);
/* -ENOENT without a failure: there is none. READ_FAILED (-EBADMSG when it is none of ours).
 */
int restore_journal_read(
        const struct Layout *layout, struct Restore **ret_restore, struct Failure *failure);
/* With what a crash left of writing one. Absent is fine. */
int restore_journal_remove(const struct Layout *layout, struct Failure *failure);
