/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/restore-exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/file-io.h"

/* Where a file system cannot exchange, the old one is here for the moment between two renames. */
#define ASIDE_SUFFIX ".old"

/* What is where. */
struct Where {
        bool target;
        bool staged;
        bool aside;
        bool new_target; /* it is what was staged once */
        bool new_staged;
};

static int look_at(
        const char *path, uint64_t inode, bool *ret_there, bool *ret_new, struct Failure *failure) {
        struct stat st;

        *ret_there = lstat(path, &st) >= 0;
        if (!*ret_there && errno != ENOENT && errno != ENOTDIR)
                return failure_set_read(failure, errno, path, "examine");
        *ret_new = *ret_there && (uint64_t) st.st_ino == inode;
        return 0;
}

static int look(const struct RestoreItem *item, const char *aside, struct Where *ret_where,
        struct Failure *failure) {
        bool unused;
        int r;

        r = look_at(item->target, item->inode, &ret_where->target, &ret_where->new_target, failure);
        if (r >= 0)
                r = look_at(item->staged, item->inode, &ret_where->staged, &ret_where->new_staged,
                        failure);
        return r < 0 ? r : look_at(aside, item->inode, &ret_where->aside, &unused, failure);
}

static int move(const char *from, const char *to, struct Failure *failure) {
        if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) >= 0)
                return 0;
        /* A file system without RENAME_NOREPLACE: we hold the gate, nobody else makes names here.
         */
        if ((errno == EINVAL || errno == ENOSYS) && exists_at(AT_FDCWD, to) == 0 &&
                rename(from, to) >= 0)
                return 0;
        return failure_set_write(failure, errno, to, "move the restored data to");
}

/* Swaps two names that both exist. Without RENAME_EXCHANGE power may go …
 *   after the first rename   target absent, aside: the old one     forward() and back() both see it
 *   after the second         target new, aside: the old one        the same
 *   after the third          done */
static int swap(
        const char *target, const char *staged, const char *aside, struct Failure *failure) {
        int r;

        if (renameat2(AT_FDCWD, staged, AT_FDCWD, target, RENAME_EXCHANGE) >= 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return failure_set_write(failure, errno, target, "exchange");
        r = move(target, aside, failure);
        if (r >= 0)
                r = move(staged, target, failure);
        return r < 0 ? r : move(aside, staged, failure);
}

/* Both ways ask what is staged: somebody may have put yet another file in the place of the live
 * one meanwhile, and what is not the new one there is the old one, which is never overwritten. */
static int forward(const struct RestoreItem *item, const char *aside, const struct Where *where,
        bool committed, struct Failure *failure) {
        int r = 0;

        if (item->action == RESTORE_REMOVE)
                return where->target && !where->staged ? move(item->target, item->staged, failure)
                                                       : 0;
        if (where->new_staged)
                r = where->target ? swap(item->target, item->staged, aside, failure)
                                  : move(item->staged, item->target, failure);
        else if (!committed && !where->staged && !where->aside && !where->new_target)
                return failure_set_read(failure, ENOENT, item->staged, "find what was staged as");
        return r >= 0 && where->aside ? move(aside, item->staged, failure) : r;
}

static int back(const struct RestoreItem *item, const char *aside, const struct Where *where,
        bool committed, struct Failure *failure) {
        int r = 0;

        (void) committed;
        if (item->action == RESTORE_REMOVE)
                return where->staged && !where->target ? move(item->staged, item->target, failure)
                                                       : 0;
        if (where->aside) {
                if (where->new_target)
                        r = move(item->target, item->staged, failure);
                else if (where->target)
                        return 0;
                return r < 0 ? r : move(aside, item->target, failure);
        }
        if (where->new_staged)
                return 0;
        if (!where->staged) /* there was none */
                return where->new_target ? move(item->target, item->staged, failure) : 0;
        return where->target ? swap(item->target, item->staged, aside, failure)
                             : move(item->staged, item->target, failure);
}

static int each(struct Restore *restore,
        int (*step)(const struct RestoreItem *item, const char *aside, const struct Where *where,
                bool committed, struct Failure *failure),
        struct Failure *failure) {
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                const struct RestoreItem *item = &restore->items[i];
                _cleanup_free_ char *aside = NULL;
                struct Where where = { 0 };
                int r;

                if (item->action == RESTORE_LEAVE)
                        continue;
                if (asprintf(&aside, "%s" ASIDE_SUFFIX, item->staged) < 0) {
                        aside = NULL;
                        return failure_out_of_memory(failure);
                }
                r = look(item, aside, &where, failure);
                if (r >= 0)
                        r = step(item, aside, &where, restore->committed, failure);
                if (r < 0)
                        return r;
                r = sync_parent(item->target);
                if (r < 0)
                        return failure_set_write(
                                failure, -r, item->target, "sync the directory of");
        }
        return 0;
}

int restore_exchange(struct Restore *restore, struct Failure *failure) {
        return each(restore, forward, failure);
}

int restore_exchange_back(struct Restore *restore, struct Failure *failure) {
        return each(restore, back, failure);
}

int restore_discard(const struct Restore *restore, struct Failure *failure) {
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                int r = remove_tree_at(AT_FDCWD, restore->items[i].staged);

                if (r < 0)
                        return failure_set_write(
                                failure, -r, restore->items[i].staged, "remove what was staged in");
        }
        return 0;
}
