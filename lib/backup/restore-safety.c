/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/restore-safety.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/manifest.h"
#include "lib/backup/metadata.h"
#include "lib/backup/snapshot.h"
#include "lib/backup/staging.h"
#include "lib/backup/tree-copy.h"
#include "lib/base/file-io.h"
#include "lib/base/json-build.h"

#define COPY_PREFIX ".copy-"

/* 1, 0, or the failure that it cannot be told. */
static int exists(const char *path, struct Failure *failure) {
        int r = exists_at(AT_FDCWD, path);

        return r < 0 ? failure_set_read(failure, -r, path, "examine") : r;
}

static char *safety_path(
        const struct Layout *layout, const char *prefix, const char *stamp, const char *below) {
        char *path;

        return asprintf(&path, "%s/%s%s%s%s", layout->pre_restore, prefix, stamp,
                       below[0] ? "/" : "", below) < 0
                ? NULL
                : path;
}

/* Where an item is copied to before it is exchanged, and where it will be. */
static char *copy_path(const struct Layout *layout, const struct Restore *restore,
        const struct RestoreItem *item) {
        char name[64];

        (void) snprintf(name, sizeof name, COPY_PREFIX "%s", restore_item_name(item->kind));
        return safety_path(layout, SNAPSHOT_PARTIAL_PREFIX, restore->safety, name);
}

/* Choosing a name. */

static int keeps_any(const struct Restore *restore, struct Failure *failure) {
        int r = 0;

        for (size_t i = 0; i < RESTORE_ITEM_COUNT_ && r == 0; i++)
                if (restore->items[i].action != RESTORE_LEAVE)
                        r = exists(restore->items[i].target, failure);
        return r;
}

static int is_taken(const struct Layout *layout, const char *stamp, struct Failure *failure) {
        _cleanup_free_ char *path = safety_path(layout, "", stamp, "");
        _cleanup_free_ char *partial = safety_path(layout, SNAPSHOT_PARTIAL_PREFIX, stamp, "");
        int r;

        if (!path || !partial)
                return failure_out_of_memory(failure);
        r = exists(path, failure);
        return r == 0 ? exists(partial, failure) : r;
}

int restore_safety_choose(
        const struct Operation *operation, struct Restore *restore, struct Failure *failure) {
        int64_t now = clock_now(operation->clock);
        int r;

        restore->safety[0] = '\0';
        r = exists(operation->layout->backups, failure);
        if (r == 0)
                r = keeps_any(restore, failure);
        if (r <= 0)
                return r;
        r = staging_check_root(operation->layout, failure);
        if (r < 0)
                return r;
        do {
                stamp_format(now++, restore->safety);
                r = is_taken(operation->layout, restore->safety, failure);
        } while (r > 0);
        return r;
}

/* Preparing. */

static json_object *items_to_json(
        const struct Restore *restore, const bool present[RESTORE_ITEM_COUNT_]) {
        _cleanup_json_ json_object *items = json_object_new_object();

        for (size_t i = 0; items && i < RESTORE_ITEM_COUNT_; i++) {
                const struct RestoreItem *item = &restore->items[i];
                const char *state = item->action == RESTORE_LEAVE ? "left"
                        : present[i]                              ? "present"
                                                                  : "absent";

                if (!json_set(items, restore_item_name(item->kind), json_object_new_string(state)))
                        return NULL;
        }
        return STEAL(items);
}

static char *metadata_text(const struct Operation *operation, const struct Restore *restore,
        const bool present[RESTORE_ITEM_COUNT_]) {
        _cleanup_json_ json_object *object = json_object_new_object();
        char at[RFC3339_SIZE], host[HOST_NAME_MAX + 1] = "";
        char *text;

        rfc3339_format(clock_now(operation->clock), at);
        (void) gethostname(host, sizeof host - 1);
        if (!object || !json_set(object, "stamp", json_object_new_string(restore->safety)) ||
                !json_set(object, "created_at", json_object_new_string(at)) ||
                !json_set(object, "hostname", json_object_new_string(host)) ||
                !json_set(object, "atocore_version", json_object_new_string(ATOCORE_VERSION)) ||
                !json_set(object, "replaced_by", json_object_new_string(restore->stamp)) ||
                !json_set(object, "items", items_to_json(restore, present)) ||
                asprintf(&text, "%s\n",
                        json_object_to_json_string_ext(object,
                                JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE)) < 0)
                return NULL;
        return text;
}

/* What cannot be moved to `partial` later. */
static int copy_aside(const struct Operation *operation, const struct Restore *restore,
        const struct RestoreItem *item, const char *partial, struct Failure *failure) {
        _cleanup_free_ char *copied = copy_path(operation->layout, restore, item);
        const char *name = strrchr(item->target, '/') + 1;
        _cleanup_free_ char *parent = strndup(item->target, (size_t) (name - 1 - item->target));
        struct TreeCopy copy = {
                .operation = operation,
                .source = parent,
                .links = true,
                .doing = "Copying what is there now, bytes",
                .total = tree_size(item->target),
        };

        if (!copied || !parent)
                return failure_out_of_memory(failure);
        if (is_same_mount(parent, partial))
                return 0;
        return tree_copy(&copy, name, copied, item->target, failure);
}

/* Nothing is left then that could fail for want of space. */
static int copy_items(const struct Operation *operation, const struct Restore *restore,
        const char *partial, const bool present[RESTORE_ITEM_COUNT_], struct Failure *failure) {
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                const struct RestoreItem *item = &restore->items[i];
                int r;

                if (item->action == RESTORE_LEAVE || !present[i])
                        continue;
                r = copy_aside(operation, restore, item, partial, failure);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Power gone before the journal is written: a leftover, with at most copies in it. */
int restore_safety_prepare(
        const struct Operation *operation, const struct Restore *restore, struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        _cleanup_free_ char *partial = NULL, *text = NULL, *metadata = NULL;
        bool present[RESTORE_ITEM_COUNT_];
        int r;

        if (!restore->safety[0])
                return 0;
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                r = exists(restore->items[i].target, failure);
                if (r < 0)
                        return r;
                present[i] = r > 0;
        }
        partial = safety_path(layout, SNAPSHOT_PARTIAL_PREFIX, restore->safety, "");
        metadata = safety_path(layout, SNAPSHOT_PARTIAL_PREFIX, restore->safety, METADATA_NAME);
        text = metadata_text(operation, restore, present);
        if (!partial || !metadata || !text)
                return failure_out_of_memory(failure);
        r = make_directories(layout->backups, partial);
        if (r < 0)
                return failure_set_write(failure, -r, partial, "create");
        r = copy_items(operation, restore, partial, present, failure);
        if (r < 0)
                return r;
        r = write_file_atomic_at(AT_FDCWD, metadata, text, strlen(text));
        if (r < 0)
                return failure_set_write(failure, -r, metadata, "write");
        r = sync_directory_at(AT_FDCWD, layout->pre_restore);
        if (r >= 0)
                r = sync_directory_at(AT_FDCWD, layout->backups);
        return r < 0 ? failure_set_write(failure, -r, layout->pre_restore, "sync") : 0;
}

void restore_safety_discard(const struct Layout *layout, const struct Restore *restore) {
        _cleanup_free_ char *partial = NULL;

        if (!restore->safety[0])
                return;
        /* What cannot be removed now goes with the next restore. */
        partial = safety_path(layout, SNAPSHOT_PARTIAL_PREFIX, restore->safety, "");
        if (partial)
                (void) remove_tree_at(AT_FDCWD, partial);
}

/* Without copies and metadata nothing is left of one that moved nothing. */
static int remove_abandoned(int dir_fd, const char *name) {
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_closedir_ DIR *stream = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!stream)
                return errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
        fd = -1; /* the stream has it now */
        while (errno = 0, (entry = readdir(stream)))
                if (strncmp(entry->d_name, COPY_PREFIX, strlen(COPY_PREFIX)) == 0) {
                        int r = remove_tree_at(dirfd(stream), entry->d_name);

                        if (r < 0)
                                return r;
                }
        rewinddir(stream);
        while (errno = 0, (entry = readdir(stream)))
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                        !strstr(entry->d_name, METADATA_NAME))
                        return 0; /* somebody's data */
        return errno != 0 ? -errno : remove_tree_at(dir_fd, name);
}

int restore_safety_remove_abandoned(const struct Layout *layout, struct Failure *failure) {
        _cleanup_closedir_ DIR *stream = opendir(layout->pre_restore);
        struct dirent *entry;
        int r;

        if (!stream)
                return errno == ENOENT
                        ? 0
                        : failure_set_read(failure, errno, layout->pre_restore, "open");
        while (errno = 0, (entry = readdir(stream))) {
                if (strncmp(entry->d_name, SNAPSHOT_PARTIAL_PREFIX,
                            strlen(SNAPSHOT_PARTIAL_PREFIX)) != 0)
                        continue;
                r = remove_abandoned(dirfd(stream), entry->d_name);
                if (r < 0)
                        return failure_set_write_at(
                                failure, -r, layout->pre_restore, entry->d_name, "remove");
        }
        return errno != 0 ? failure_set_read(failure, errno, layout->pre_restore, "list") : 0;
}

/* Publishing. */

/* Power gone …
 *   before a rename                 it is where it was staged, and the next run takes it from there
 *   after that of a copy            it is in both places, and the next run removes the staged one
 */
static int take_in(const struct Layout *layout, const struct Restore *restore,
        const struct RestoreItem *item, struct Failure *failure) {
        _cleanup_free_ char *copied = copy_path(layout, restore, item);
        _cleanup_free_ char *kept =
                safety_path(layout, SNAPSHOT_PARTIAL_PREFIX, restore->safety, item->source);
        int is_kept, is_staged, is_copied, r;

        if (!copied || !kept)
                return failure_out_of_memory(failure);
        is_kept = exists(kept, failure);
        is_staged = is_kept < 0 ? is_kept : exists(item->staged, failure);
        is_copied = is_staged < 0 ? is_staged : exists(copied, failure);
        if (is_copied < 0)
                return is_copied;
        if (is_kept || !is_staged)
                return 0;
        if (strchr(item->source, '/')) {
                *strrchr(kept, '/') = '\0';
                r = make_directory_at(AT_FDCWD, kept);
                kept[strlen(kept)] = '/';
                if (r < 0)
                        return failure_set_write(failure, -r, kept, "make the directory of");
        }
        if (rename(is_copied ? copied : item->staged, kept) < 0)
                return failure_set_write(failure, errno, kept, "keep what was there as");
        r = sync_parent(kept);
        if (r >= 0)
                r = sync_parent(item->staged);
        return r < 0 ? failure_set_write(failure, -r, kept, "sync") : 0;
}

static int remove_staged(const struct RestoreItem *item, struct Failure *failure) {
        int r = remove_tree_at(AT_FDCWD, item->staged);

        return r < 0 ? failure_set_write(failure, -r, item->staged, "remove") : 0;
}

static int take_in_all(const struct Layout *layout, const struct Restore *restore,
        const char *partial, const char *path, struct Failure *failure) {
        int r = exists(partial, failure);

        if (r <= 0)
                return r; /* published already */
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                if (restore->items[i].action == RESTORE_LEAVE)
                        continue;
                r = take_in(layout, restore, &restore->items[i], failure);
                if (r < 0)
                        return r;
        }
        r = sync_directory_at(AT_FDCWD, partial);
        if (r < 0)
                return failure_set_write(failure, -r, partial, "sync");
        /* The name was free under the gate, and nobody else makes any. */
        return rename(partial, path) < 0 ? failure_set_write(failure, errno, path, "publish") : 0;
}

int restore_safety_publish(
        const struct Layout *layout, const struct Restore *restore, struct Failure *failure) {
        _cleanup_free_ char *partial = NULL, *path = NULL;
        int r;

        if (!restore->safety[0])
                return 0;
        partial = safety_path(layout, SNAPSHOT_PARTIAL_PREFIX, restore->safety, "");
        path = safety_path(layout, "", restore->safety, "");
        if (!partial || !path)
                return failure_out_of_memory(failure);
        r = take_in_all(layout, restore, partial, path, failure);
        if (r < 0)
                return r;
        /* Power gone: the name of before or this one, each on all that was there. */
        r = sync_directory_at(AT_FDCWD, layout->pre_restore);
        if (r < 0)
                return failure_set_write(failure, -r, layout->pre_restore, "sync");
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                r = restore->items[i].action == RESTORE_LEAVE
                        ? 0
                        : remove_staged(&restore->items[i], failure);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Finding one. */

bool restore_safety_was_absent(struct json_object *metadata, enum RestoreItemKind kind) {
        json_object *items, *state;

        return metadata && json_object_object_get_ex(metadata, "items", &items) &&
                json_object_is_type(items, json_type_object) &&
                json_object_object_get_ex(items, restore_item_name(kind), &state) &&
                json_object_is_type(state, json_type_string) &&
                strcmp(json_object_get_string(state), "absent") == 0;
}

static int compare_stamps(const void *a, const void *b) {
        return strcmp(a, b);
}

int restore_safety_list(const struct Layout *layout, char (**ret_stamps)[STAMP_SIZE], size_t *ret_n,
        struct Failure *failure) {
        _cleanup_closedir_ DIR *stream = opendir(layout->pre_restore);
        _cleanup_free_ char(*stamps)[STAMP_SIZE] = NULL;
        struct dirent *entry;
        size_t n = 0;

        if (!stream && errno != ENOENT)
                return failure_set_read(failure, errno, layout->pre_restore, "open");
        while (stream && (errno = 0, (entry = readdir(stream)))) {
                char(*grown)[STAMP_SIZE];

                if (!stamp_is_valid(entry->d_name))
                        continue;
                grown = reallocarray(stamps, n + 1, sizeof *grown);
                if (!grown)
                        return failure_out_of_memory(failure);
                stamps = grown;
                memcpy(stamps[n++], entry->d_name, STAMP_SIZE);
        }
        if (stream && errno != 0)
                return failure_set_read(failure, errno, layout->pre_restore, "list");
        if (n > 1)
                qsort(stamps, n, sizeof *stamps, compare_stamps);
        *ret_stamps = STEAL(stamps);
        *ret_n = n;
        return 0;
}
