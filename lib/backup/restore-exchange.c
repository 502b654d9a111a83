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

static bool exists(const char *path) {
        struct stat st;

        return lstat(path, &st) >= 0;
}

static bool is_new(const char *path, const struct RestoreItem *item) {
        struct stat st;

        return lstat(path, &st) >= 0 && (uint64_t) st.st_ino == item->inode;
}

static int move(const char *from, const char *to, struct Failure *failure) {
        if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) >= 0)
                return 0;
        /* A file system without RENAME_NOREPLACE: we hold the gate, nobody else makes names here.
         */
        if ((errno == EINVAL || errno == ENOSYS) && !exists(to) && rename(from, to) >= 0)
                return 0;
        return failure_set_write(failure, errno, to, "move the restored data to");
}

static int sync_parent(const char *path, struct Failure *failure) {
        _cleanup_free_ char *parent = strndup(path, (size_t) (strrchr(path, '/') - path));
        int r;

        if (!parent)
                return failure_out_of_memory(failure);
        r = sync_directory_at(AT_FDCWD, parent);
        return r < 0 ? failure_set_write(failure, -r, parent, "sync") : 0;
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
static int forward(const struct Restore *restore, const struct RestoreItem *item, const char *aside,
        struct Failure *failure) {
        int r = 0;

        if (item->action == RESTORE_REMOVE)
                return exists(item->target) && !exists(item->staged)
                        ? move(item->target, item->staged, failure)
                        : 0;
        if (is_new(item->staged, item)) {
                if (exists(item->target))
                        r = swap(item->target, item->staged, aside, failure);
                else
                        r = move(item->staged, item->target, failure);
        } else if (!restore->committed && !exists(item->staged) && !exists(aside) &&
                !is_new(item->target, item))
                return failure_set_read(failure, ENOENT, item->staged, "find what was staged as");
        if (r >= 0 && exists(aside))
                r = move(aside, item->staged, failure);
        return r;
}

static int back(const struct Restore *restore, const struct RestoreItem *item, const char *aside,
        struct Failure *failure) {
        int r;

        (void) restore;
        if (item->action == RESTORE_REMOVE)
                return exists(item->staged) && !exists(item->target)
                        ? move(item->staged, item->target, failure)
                        : 0;
        if (exists(aside)) {
                if (is_new(item->target, item)) {
                        r = move(item->target, item->staged, failure);
                        if (r < 0)
                                return r;
                }
                return exists(item->target) ? 0 : move(aside, item->target, failure);
        }
        if (is_new(item->staged, item))
                return 0;
        if (!exists(item->staged)) /* there was none */
                return is_new(item->target, item) ? move(item->target, item->staged, failure) : 0;
        return exists(item->target) ? swap(item->target, item->staged, aside, failure)
                                    : move(item->staged, item->target, failure);
}

static int each(struct Restore *restore,
        int (*step)(const struct Restore *restore, const struct RestoreItem *item,
                const char *aside, struct Failure *failure),
        struct Failure *failure) {
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                const struct RestoreItem *item = &restore->items[i];
                _cleanup_free_ char *aside = NULL;
                int r;

                if (item->action == RESTORE_LEAVE)
                        continue;
                if (asprintf(&aside, "%s" ASIDE_SUFFIX, item->staged) < 0) {
                        aside = NULL;
                        return failure_out_of_memory(failure);
                }
                r = step(restore, item, aside, failure);
                if (r < 0)
                        return r;
                r = sync_parent(item->target, failure);
                if (r < 0)
                        return r;
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
