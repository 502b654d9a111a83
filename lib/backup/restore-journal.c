/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/restore-journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/base/file-io.h"
#include "lib/base/json-build.h"
#include "lib/base/json-document.h"

#define JOURNAL_VERSION 1
#define JOURNAL_MAX     ((size_t) 16 << 20)
#define JOURNAL_DEPTH   8

static const struct {
        const char *name;
        const char *source;
} kinds[] = {
        [RESTORE_DATABASE] = { "database", "db" },
        [RESTORE_VECTOR_STORE] = { "vector_store", "chroma" },
        [RESTORE_REGISTRY] = { "registry", "config/project-registry.json" },
};

static const char *const actions[] = {
        [RESTORE_LEAVE] = "leave",
        [RESTORE_REPLACE] = "replace",
        [RESTORE_REMOVE] = "remove",
};

const char *restore_item_name(enum RestoreItemKind kind) {
        return kinds[kind].name;
}

const char *restore_action_name(enum RestoreAction action) {
        return actions[action];
}

struct Restore *restore_free(struct Restore *restore) {
        if (!restore)
                return NULL;
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++)
                free(restore->items[i].staged);
        for (size_t i = 0; i < restore->n_steps; i++)
                free(restore->steps[i].target);
        free(restore->steps);
        free(restore->source);
        json_object_put(restore->counts);
        json_object_put(restore->proof);
        free(restore);
        return NULL;
}

/* ".restore-<name>" beside the target: on its file system, and found again without a list. */
static char *staged_name(const char *target) {
        const char *name = strrchr(target, '/') + 1;
        char *path;

        return asprintf(&path, "%.*s.restore-%s", (int) (name - target), target, name) < 0 ? NULL
                                                                                           : path;
}

struct Restore *restore_new(const struct Layout *layout) {
        _cleanup_restore_ struct Restore *restore = calloc(1, sizeof *restore);
        const char *const targets[] = {
                [RESTORE_DATABASE] = layout->database_dir,
                [RESTORE_VECTOR_STORE] = layout->chroma,
                [RESTORE_REGISTRY] = layout->registry,
        };

        for (size_t i = 0; restore && i < RESTORE_ITEM_COUNT_; i++) {
                restore->items[i] = (struct RestoreItem){
                        .kind = (enum RestoreItemKind) i,
                        .source = kinds[i].source,
                        .target = targets[i],
                        .staged = staged_name(targets[i]),
                };
                if (!restore->items[i].staged)
                        return NULL;
        }
        return STEAL(restore);
}

static json_object *item_to_json(const struct RestoreItem *item) {
        _cleanup_json_ json_object *object = json_object_new_object();

        if (!object || !json_set(object, "action", json_object_new_string(actions[item->action])) ||
                !json_set(object, "what", json_object_new_string(kinds[item->kind].name)) ||
                !json_set(object, "inode", json_object_new_uint64(item->inode)) ||
                !json_set(object, "bytes", json_object_new_uint64(item->bytes)))
                return NULL;
        return STEAL(object);
}

static json_object *items_to_json(const struct Restore *restore) {
        _cleanup_json_ json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < RESTORE_ITEM_COUNT_; i++) {
                const struct RestoreItem *item = &restore->items[i];

                if (!json_append(array, item_to_json(item)))
                        return NULL;
        }
        return STEAL(array);
}

static json_object *to_journal(const struct Restore *restore) {
        _cleanup_json_ json_object *object = json_object_new_object();

        if (!object || !json_set(object, "version", json_object_new_int(JOURNAL_VERSION)) ||
                !json_set(object, "phase",
                        json_object_new_string(restore->committed ? "commit" : "exchange")) ||
                !json_set(object, "stamp", json_object_new_string(restore->stamp)) ||
                !json_set(object, "source", json_object_new_string(restore->source)) ||
                !json_set(object, "safety", json_object_new_string(restore->safety)) ||
                !json_set(object, "raw", json_object_new_boolean(restore->raw)) ||
                !json_set(object, "items", items_to_json(restore)))
                return NULL;
        if (restore->counts && !json_set(object, "counts", json_object_get(restore->counts)))
                return NULL;
        return STEAL(object);
}

int restore_journal_write(
        const struct Layout *layout, const struct Restore *restore, struct Failure *failure) {
        _cleanup_json_ json_object *object = to_journal(restore);
        const char *text = object
                ? json_object_to_json_string_ext(
                          object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE)
                : NULL;
        int r;

        if (!text)
                return failure_out_of_memory(failure);
        r = write_file_atomic_at(AT_FDCWD, layout->restore_journal, text, strlen(text));
        return r < 0 ? failure_set_write(failure, -r, layout->restore_journal, "write") : 0;
}

static const char *text_member(json_object *object, const char *name) {
        json_object *value;

        return json_object_object_get_ex(object, name, &value) &&
                        json_object_is_type(value, json_type_string)
                ? json_object_get_string(value)
                : NULL;
}

static uint64_t number_member(json_object *object, const char *name) {
        json_object *value;

        return json_object_object_get_ex(object, name, &value) ? json_object_get_uint64(value) : 0;
}

static bool read_item(json_object *object, struct RestoreItem *item) {
        const char *what = text_member(object, "what"), *action = text_member(object, "action");

        if (!what || !action || strcmp(what, kinds[item->kind].name) != 0)
                return false;
        item->bytes = number_member(object, "bytes");
        item->inode = number_member(object, "inode");
        for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
                if (strcmp(action, actions[i]) == 0) {
                        item->action = (enum RestoreAction) i;
                        return item->action != RESTORE_REPLACE || item->inode != 0;
                }
        return false;
}

static bool take_stamp(json_object *object, const char *name, char ret_stamp[STAMP_SIZE]) {
        const char *text = text_member(object, name);

        if (!text || (text[0] != '\0' && !stamp_is_valid(text)))
                return false;
        memcpy(ret_stamp, text, strlen(text) + 1);
        return true;
}

/* False: it is no journal of ours, or memory ran out (then `source` is NULL). */
static bool from_journal(json_object *object, struct Restore *restore) {
        const char *source = text_member(object, "source"), *phase = text_member(object, "phase");
        json_object *items, *counts, *raw;

        if (number_member(object, "version") != JOURNAL_VERSION || !source || !phase ||
                !take_stamp(object, "stamp", restore->stamp) ||
                !take_stamp(object, "safety", restore->safety) ||
                !json_object_object_get_ex(object, "items", &items) ||
                !json_object_is_type(items, json_type_array) ||
                json_object_array_length(items) != RESTORE_ITEM_COUNT_)
                return false;
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++)
                if (!read_item(json_object_array_get_idx(items, i), &restore->items[i]))
                        return false;
        if (json_object_object_get_ex(object, "counts", &counts))
                restore->counts = json_object_get(counts);
        restore->raw =
                json_object_object_get_ex(object, "raw", &raw) && json_object_get_boolean(raw);
        restore->committed = strcmp(phase, "commit") == 0;
        restore->source = strdup(source);
        return restore->source != NULL;
}

int restore_journal_read(
        const struct Layout *layout, struct Restore **ret_restore, struct Failure *failure) {
        _cleanup_restore_ struct Restore *restore = NULL;
        _cleanup_json_ json_object *object = NULL;
        _cleanup_free_ char *text = NULL, *problem = NULL;
        const char *path = layout->restore_journal;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, path, JOURNAL_MAX, &text, &size);
        if (r == -ENOENT)
                return r;
        if (r < 0)
                return failure_set_read(failure, -r, path, "read");
        restore = restore_new(layout);
        if (!restore)
                return failure_out_of_memory(failure);
        r = json_document_parse(text, size, JOURNAL_DEPTH, &object, &problem);
        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        if (r < 0 || !from_journal(object, restore))
                return failure_set(failure, EVENT_READ_FAILED, EBADMSG, path,
                        "%s is no journal of a restore%s%s; what is live and what was replaced "
                        "(.restore-* beside it) must be looked at by hand, then remove the file",
                        path, problem ? ": " : "", problem ? problem : "");
        *ret_restore = STEAL(restore);
        return 0;
}

/* With what a crash left of writing it. Power gone before the sync: the journal is there again, and
 * --resume finds nothing left to do. */
int restore_journal_remove(const struct Layout *layout, struct Failure *failure) {
        const char *path = layout->restore_journal;
        _cleanup_free_ char *parent = strndup(path, (size_t) (strrchr(path, '/') - path));
        int r;

        if (!parent)
                return failure_out_of_memory(failure);
        if (unlink(path) < 0 && errno != ENOENT)
                return failure_set_write(failure, errno, path, "remove");
        r = remove_temporaries_at(AT_FDCWD, path);
        if (r < 0)
                return failure_set_write(failure, -r, path, "remove what was to become");
        r = sync_directory_at(AT_FDCWD, parent);
        return r < 0 ? failure_set_write(failure, -r, parent, "sync") : 0;
}
