/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/unconverted.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/base/file-io.h"
#include "lib/base/json-build.h"
#include "lib/base/json-document.h"

#define NAME       "unconverted.json"
#define FILE_MAX   ((size_t) 64 << 20)
#define JSON_DEPTH 4

struct Unconverted {
        const struct Layout *layout;
        json_object *old; /* path → file, as it was loaded, without those that are swept */
        json_object *met; /* what this run put or kept; it counts before `old` */
        bool changed;
};

static json_object *load(const char *directory) {
        _cleanup_free_ char *text = NULL, *problem = NULL;
        json_object *document = NULL;
        size_t size;

        _cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || read_file_at(fd, NAME, FILE_MAX, &text, &size) < 0 ||
                json_document_parse(text, size, JSON_DEPTH, &document, &problem) < 0)
                return NULL;
        if (json_object_is_type(document, json_type_object))
                return document;
        (void) json_object_put(document);
        return NULL;
}

int unconverted_load(const struct Layout *layout, struct Unconverted **ret_unconverted) {
        _cleanup_unconverted_ struct Unconverted *unconverted = calloc(1, sizeof *unconverted);

        if (!unconverted)
                return -ENOMEM;
        unconverted->layout = layout;
        unconverted->old = load(layout->cache);
        if (!unconverted->old)
                unconverted->old = json_object_new_object();
        unconverted->met = json_object_new_object();
        if (!unconverted->old || !unconverted->met)
                return -ENOMEM;
        *ret_unconverted = STEAL(unconverted);
        return 0;
}

struct Unconverted *unconverted_free(struct Unconverted *unconverted) {
        if (!unconverted)
                return NULL;
        (void) json_object_put(unconverted->old);
        (void) json_object_put(unconverted->met);
        free(unconverted);
        return NULL;
}

static json_object *lookup(const struct Unconverted *unconverted, const char *path) {
        json_object *file;

        if (json_object_object_get_ex(unconverted->met, path, &file) ||
                json_object_object_get_ex(unconverted->old, path, &file))
                return file;
        return NULL;
}

static bool get_number(json_object *file, const char *name, int64_t *ret_number) {
        json_object *value;

        if (!json_object_object_get_ex(file, name, &value) ||
                !json_object_is_type(value, json_type_int))
                return false;
        *ret_number = json_object_get_int64(value);
        return true;
}

static bool get_text(json_object *file, const char *name, const char **ret_text) {
        json_object *value;

        if (!json_object_object_get_ex(file, name, &value) ||
                !json_object_is_type(value, json_type_string))
                return false;
        *ret_text = json_object_get_string(value);
        return true;
}

bool unconverted_find(
        const struct Unconverted *unconverted, const char *path, struct UnconvertedFile *ret_file) {
        json_object *file = lookup(unconverted, path), *unknown;
        struct UnconvertedFile found;

        if (!json_object_is_type(file, json_type_object) ||
                !get_number(file, "size", &found.evidence.size) ||
                !get_number(file, "mtime_ns", &found.evidence.mtime_ns) ||
                !get_number(file, "ctime_ns", &found.evidence.ctime_ns) ||
                !get_number(file, "inode", &found.evidence.inode) ||
                !get_text(file, "converter", &found.converter) ||
                !get_text(file, "reason", &found.reason) ||
                !json_object_object_get_ex(file, "unknown", &unknown) ||
                !json_object_is_type(unknown, json_type_boolean))
                return false;
        found.unknown = json_object_get_boolean(unknown);
        *ret_file = found;
        return true;
}

static json_object *file_to_json(const struct UnconvertedFile *file) {
        _cleanup_json_ json_object *object = json_object_new_object();
        const struct {
                const char *name;
                int64_t value;
        } numbers[] = {
                { "size", file->evidence.size },
                { "mtime_ns", file->evidence.mtime_ns },
                { "ctime_ns", file->evidence.ctime_ns },
                { "inode", file->evidence.inode },
        };

        if (!object)
                return NULL;
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
                if (!json_set(object, numbers[i].name, json_object_new_int64(numbers[i].value)))
                        return NULL;
        if (!json_set(object, "converter", json_object_new_string(file->converter)) ||
                !json_set(object, "reason", json_object_new_string(file->reason)) ||
                !json_set(object, "unknown", json_object_new_boolean(file->unknown)))
                return NULL;
        return STEAL(object);
}

int unconverted_put(
        struct Unconverted *unconverted, const char *path, const struct UnconvertedFile *file) {
        unconverted->changed = true;
        return json_set(unconverted->met, path, file_to_json(file)) ? 0 : -ENOMEM;
}

int unconverted_keep(struct Unconverted *unconverted, const char *path) {
        json_object *file = lookup(unconverted, path);

        if (!file)
                return 0;
        return json_set(unconverted->met, path, json_object_get(file)) ? 0 : -ENOMEM;
}

static bool is_inside(const char *path, const char *outer) {
        size_t n = strlen(outer);

        return strncmp(path, outer, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

void unconverted_sweep(struct Unconverted *unconverted, const char *path) {
        json_object_object_foreach(unconverted->old, name, file) {
                (void) file;
                if (!is_inside(name, path))
                        continue;
                if (!json_object_object_get_ex(unconverted->met, name, NULL))
                        unconverted->changed = true;
                json_object_object_del(unconverted->old, name);
        }
}

static json_object *merged(const struct Unconverted *unconverted) {
        _cleanup_json_ json_object *all = json_object_new_object();

        if (!all)
                return NULL;
        json_object_object_foreach(unconverted->old, old_name,
                old_file) if (!json_set(all, old_name, json_object_get(old_file))) return NULL;
        json_object_object_foreach(unconverted->met, name,
                file) if (!json_set(all, name, json_object_get(file))) return NULL;
        return STEAL(all);
}

/* Replaced in one step: if power goes, it is as it was or as it is. */
int unconverted_save(struct Unconverted *unconverted, struct Failure *failure) {
        _cleanup_json_ json_object *all = NULL;
        const char *text;
        size_t size;
        int r;

        if (!unconverted->changed)
                return 0;
        all = merged(unconverted);
        text = all ? json_object_to_json_string_length(
                             all, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size)
                   : NULL;
        if (!text)
                return failure_out_of_memory(failure);
        r = make_directories(unconverted->layout->root, unconverted->layout->cache);
        if (r < 0)
                return failure_set_write(failure, -r, unconverted->layout->cache, "create");
        _cleanup_close_ int fd =
                open(unconverted->layout->cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = fd < 0 ? -errno : write_file_atomic_at(fd, NAME, text, size);
        if (r < 0)
                return failure_set_write_at(failure, -r, unconverted->layout->cache, NAME, "write");
        unconverted->changed = false;
        return 0;
}
