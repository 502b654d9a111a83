/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/restore-stage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/metadata.h"
#include "lib/backup/tree-copy.h"
#include "lib/base/file-io.h"

/* On the disk too, so that what is exchanged later has a directory to be in. */
static int make_parent(
        const struct Layout *layout, const char *path, bool sync, struct Failure *failure) {
        _cleanup_free_ char *parent = strndup(path, (size_t) (strrchr(path, '/') - path));
        int r;

        if (!parent)
                return failure_out_of_memory(failure);
        r = make_directories(layout->root, parent);
        if (r < 0)
                return failure_set_write(failure, -r, parent, "create");
        r = sync ? sync_directory_at(AT_FDCWD, parent) : 0;
        if (r >= 0)
                r = sync ? sync_directory_at(AT_FDCWD, layout->root) : 0;
        return r < 0 ? failure_set_write(failure, -r, parent, "sync") : 0;
}

static int copy(struct TreeCopy *tree, const struct RestoreItem *item, struct Failure *failure) {
        return tree_copy(tree, item->source, item->staged, item->target, failure);
}

static int move(struct TreeCopy *tree, const struct RestoreItem *item, struct Failure *failure) {
        _cleanup_free_ char *from = NULL;

        if (asprintf(&from, "%s/%s", tree->source, item->source) < 0) {
                from = NULL;
                return failure_out_of_memory(failure);
        }
        if (rename(from, item->staged) >= 0)
                return tree_adopt(tree->operation, item->staged, item->target, failure);
        /* It was unpacked in data/, and config/ may be another file system. */
        if (errno != EXDEV)
                return failure_set_write(failure, errno, item->staged, "stage");
        return copy(tree, item, failure);
}

/* Copied as fast as the file system can, and then read once for all: its checksum, its integrity,
 * and the way to the disk. Of a clone that is read which may be in memory, and is not twice there:
 * both are the same blocks. */
static int copy_and_validate(struct TreeCopy *tree, const struct RestoreItem *item,
        const struct RestoreStaging *staging, struct Failure *failure) {
        _cleanup_free_ char *database = NULL;
        struct TreeCopy plain = *tree;
        int r;

        if (asprintf(&database, "%s/%s", item->staged, strrchr(SNAPSHOT_DATABASE, '/') + 1) < 0) {
                database = NULL;
                return failure_out_of_memory(failure);
        }
        plain.manifest = NULL;
        plain.later = true;
        plain.cloned = 0;
        r = copy(&plain, item, failure);
        tree->done = plain.done;
        if (r >= 0)
                r = staging->validate(
                        plain.cloned == plain.done ? NULL : database, staging->userdata);
        if (r < 0)
                return r;
        r = sync_tree_at(AT_FDCWD, item->staged);
        return r < 0 ? failure_set_write(failure, -r, item->staged, "write back") : 0;
}

static int stage(struct TreeCopy *tree, const struct RestoreItem *item,
        const struct RestoreStaging *staging, struct Failure *failure) {
        if (staging->own)
                return move(tree, item, failure);
        if (item->kind == RESTORE_DATABASE && staging->validate)
                return copy_and_validate(tree, item, staging, failure);
        return copy(tree, item, failure);
}

int restore_stage(const struct Operation *operation, struct Restore *restore,
        const struct RestoreStaging *staging, struct Failure *failure) {
        struct TreeCopy tree = {
                .operation = operation,
                .source = staging->source,
                .manifest = staging->manifest,
                .links = restore->raw,
                .doing = "Copying beside the live data, bytes",
        };
        struct stat st;
        int r;

        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++)
                if (restore->items[i].action == RESTORE_REPLACE)
                        tree.total += restore->items[i].bytes;
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                struct RestoreItem *item = &restore->items[i];

                if (item->action != RESTORE_REPLACE)
                        continue;
                staging->step(item, staging->userdata);
                r = make_parent(operation->layout, item->staged, false, failure);
                if (r >= 0)
                        r = stage(&tree, item, staging, failure);
                if (r >= 0)
                        r = make_parent(operation->layout, item->staged, true, failure);
                if (r < 0)
                        return r;
                if (lstat(item->staged, &st) < 0)
                        return failure_set_read(failure, errno, item->staged, "examine");
                item->inode = st.st_ino;
        }
        return 0;
}
