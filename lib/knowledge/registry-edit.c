/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/registry-edit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/base/file-io.h"
#include "lib/base/json-document.h"
#include "lib/base/json-locate.h"
#include "lib/base/text-stream.h"

/* What a first project is put into. */
#define EMPTY_REGISTRY "{\n  \"projects\": []\n}\n"
#define PRETTY         (JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE)

static const char *const project_members[] = { "id", "aliases", "description", "ingest_roots",
        NULL };
static const char *const root_members[] = { "source", "subpath", "label", NULL };

static bool is_one_of(const char *const *names, const char *name) {
        for (; *names; names++)
                if (strcmp(*names, name) == 0)
                        return true;
        return false;
}

/* What is sent: `given` → *ret_project, without nulls. */

static int copy_members(json_object *given, const char *const *known, const char *where,
        json_object **ret_object, struct RegistryFault *fault) {
        _cleanup_json_ json_object *object = json_object_new_object();

        if (!object)
                return -ENOMEM;
        json_object_object_foreach(given, name, value) {
                _cleanup_free_ char *field = NULL;

                if (is_one_of(known, name)) {
                        if (value &&
                                json_object_object_add(object, name, json_object_get(value)) < 0) {
                                (void) json_object_put(value);
                                return -ENOMEM;
                        }
                        continue;
                }
                if (asprintf(&field, "%s%s", where, name) < 0) {
                        field = NULL;
                        return -ENOMEM;
                }
                return registry_fault_set(fault, REGISTRY_FAULT_UNKNOWN, field, NULL,
                        "leave it out, or correct its name", "is not known");
        }
        *ret_object = STEAL(object);
        return 0;
}

static int copy_roots(json_object *project, struct RegistryFault *fault) {
        json_object *given = json_object_object_get(project, "ingest_roots");
        _cleanup_json_ json_object *roots = json_object_new_array();

        if (!json_object_is_type(given, json_type_array))
                return 0; /* the parser says so */
        for (size_t i = 0; roots && i < json_object_array_length(given); i++) {
                json_object *root = json_object_array_get_idx(given, i), *copy = NULL;
                char where[64];
                int r;

                (void) snprintf(where, sizeof where, "ingest_roots[%zu].", i);
                r = json_object_is_type(root, json_type_object)
                        ? copy_members(root, root_members, where, &copy, fault)
                        : 0;
                if (r < 0)
                        return r;
                if (json_object_array_add(roots, copy ? copy : json_object_get(root)) < 0) {
                        (void) json_object_put(copy ? copy : root);
                        return -ENOMEM;
                }
        }
        return !roots || json_object_object_add(project, "ingest_roots", STEAL(roots)) < 0 ? -ENOMEM
                                                                                           : 0;
}

/* By the parser itself, alone: what is left for later is whether its names are free. */
static int check_alone(
        json_object *project, const struct Project *old, struct RegistryFault *fault) {
        _cleanup_json_ json_object *document = json_object_new_object();
        _cleanup_registry_ struct Registry *registry = NULL;
        json_object *projects = json_object_new_array();

        if (!document || !projects || json_object_object_add(document, "projects", projects) < 0) {
                (void) json_object_put(projects);
                return -ENOMEM;
        }
        if (json_object_array_add(projects, json_object_get(project)) < 0) {
                (void) json_object_put(project);
                return -ENOMEM;
        }
        return registry_parse(document, 0, old, &registry, fault);
}

/* The id that a replaced project has stays: interactions are kept under it. */
static int keep_id(json_object *project, const char *id, struct RegistryFault *fault) {
        json_object *given = json_object_object_get(project, "id"), *kept;
        _cleanup_name_index_ struct NameIndex *index = NULL;
        const struct Project any = { 0 }, *owner;

        if (given) {
                if (!json_object_is_type(given, json_type_string))
                        return 0; /* the parser says so */
                if (name_index_new(&index) < 0 || name_index_add(index, id, &any, &owner) < 0)
                        return -ENOMEM;
                if (!name_index_find(index, json_object_get_string(given)))
                        return registry_fault_set(fault, REGISTRY_FAULT_RANGE, "id", NULL,
                                "leave it out; for another id register another project",
                                "must be \"%s\", under which interactions are kept", id);
        }
        kept = json_object_new_string(id);
        if (kept && json_object_object_add(project, "id", kept) >= 0)
                return 0;
        (void) json_object_put(kept);
        return -ENOMEM;
}

static int take(json_object *given, const struct Project *old, json_object **ret_project,
        struct RegistryFault *fault) {
        _cleanup_json_ json_object *project = NULL;
        int r;

        r = copy_members(given, project_members, "", &project, fault);
        if (r >= 0)
                r = copy_roots(project, fault);
        if (r >= 0 && old)
                r = keep_id(project, old->id, fault);
        if (r >= 0)
                r = check_alone(project, old, fault);
        if (r < 0)
                return r;
        *ret_project = STEAL(project);
        return 0;
}

/* What a replaced project keeps: members that somebody else put there. */

static int inherit(json_object *object, json_object *old, const char *const *known) {
        json_object_object_foreach(old, name, value) {
                if (is_one_of(known, name))
                        continue;
                if (json_object_object_add(object, name, json_object_get(value)) < 0) {
                        (void) json_object_put(value);
                        return -ENOMEM;
                }
        }
        return 0;
}

/* From the one of the same source and subpath, which the file may have written otherwise than it is
 * shown. */
static int inherit_root(json_object *root, json_object *old_roots, const struct Project *old) {
        const char *source = json_object_get_string(json_object_object_get(root, "source"));
        _cleanup_free_ char *subpath =
                strdup(json_object_get_string(json_object_object_get(root, "subpath")));

        if (!subpath)
                return -ENOMEM;
        (void) registry_normalise_subpath(subpath); /* the parser took it */
        for (size_t i = 0; i < old->n_roots; i++)
                if (strcmp(source, old->roots[i].source) == 0 &&
                        strcmp(subpath, old->roots[i].subpath) == 0)
                        return inherit(root, json_object_array_get_idx(old_roots, i), root_members);
        return 0;
}

/* `old` is what `object` was read to be. */
static int inherit_all(json_object *project, json_object *object, const struct Project *old) {
        json_object *roots = json_object_object_get(project, "ingest_roots");
        json_object *old_roots = json_object_object_get(object, "ingest_roots");

        for (size_t i = 0; i < json_object_array_length(roots); i++) {
                int r = inherit_root(json_object_array_get_idx(roots, i), old_roots, old);
                if (r < 0)
                        return r;
        }
        return inherit(project, object, project_members);
}

/* The text. */

/* The white space that the line begins with in which text[at] is; *ret_first: and nothing else
 * stands before it. */
static size_t indentation(const char *text, size_t at, size_t *ret_begin, bool *ret_first) {
        size_t begin = at, size;

        while (begin > 0 && text[begin - 1] != '\n')
                begin--;
        size = strspn(text + begin, " \t");
        *ret_begin = begin;
        *ret_first = begin + size >= at;
        return begin + size < at ? size : at - begin;
}

/* In place of the project at `index`; where there are `index` projects, behind the last. */
static int splice_text(const char *text, size_t index, size_t n, json_object *project,
        char **ret_text, size_t *ret_size) {
        const char *object = json_object_to_json_string_ext(project, PRETTY);
        _cleanup_free_ char *indent = NULL;
        char pointer[64] = "/projects";
        size_t begin, end, line, size;
        FILE *stream;
        bool first;

        if (n > 0)
                (void) snprintf(
                        pointer, sizeof pointer, "/projects/%zu", index < n ? index : n - 1);
        if (!json_locate(text, pointer, &begin, &end))
                return -EBADMSG;
        size = indentation(text, begin, &line, &first);
        if (asprintf(&indent, "\n%.*s%s", (int) size, text + line, n == 0 ? "  " : "") < 0) {
                indent = NULL;
                return -ENOMEM;
        }
        stream = object ? text_stream_open(ret_text, ret_size) : NULL;
        if (!stream)
                return -ENOMEM;
        (void) fwrite(text, 1, index < n || n == 0 ? begin : end, stream);
        if (n == 0)
                (void) fprintf(stream, "[%s", indent);
        else if (index == n)
                (void) fprintf(stream, ",%s", first ? indent : " ");
        for (; *object != '\0'; object++)
                if (*object == '\n')
                        (void) fputs(indent, stream);
                else
                        (void) fputc(*object, stream);
        if (n == 0)
                (void) fprintf(stream, "\n%.*s]", (int) size, text + line);
        (void) fputs(text + end, stream);
        return fclose(stream) == 0 ? 0 : -ENOMEM;
}

/* Reading what is there. */

int registry_missing(const struct Layout *layout, struct Failure *failure) {
        return failure_set(failure, EVENT_REGISTRY_MISSING, ENOENT, layout->registry,
                "There is no project registry at %s; put it back (a snapshot holds one, %s may be "
                "the version before), or begin one: {\"projects\": []}",
                layout->registry, layout->registry_previous);
}

static int lock(
        const struct Operation *operation, struct RegistryEdit *edit, struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        int r;

        if (access(layout->root, F_OK) < 0 && errno == ENOENT)
                return failure_set(failure, EVENT_STORAGE_ROOT_MISSING, ENOENT, layout->root,
                        "There is no storage root at %s; create it, mount it, or set root= in "
                        "atocore.conf",
                        layout->root);
        /* Against a restore, which exchanges the file, and against others who do this. */
        r = lock_acquire_store(operation, &edit->store, failure);
        if (r >= 0)
                r = lock_acquire(layout->registry_lock, LOCK_MODE_EXCLUSIVE, operation, &edit->lock,
                        failure);
        return r;
}

/* What who was killed left beside both files: under the lock nobody is writing them. */
static int clean(const struct Layout *layout, struct Failure *failure) {
        const char *const paths[] = { layout->registry, layout->registry_previous };

        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
                int r = remove_temporaries_at(AT_FDCWD, paths[i]);

                if (r < 0)
                        return failure_set_write(failure, -r, paths[i], "clean up beside");
        }
        return 0;
}

static int read_current(const struct Layout *layout, bool first, struct RegistryEdit *edit,
        char **ret_text, struct Failure *failure) {
        const char *path = layout->registry;
        int r;

        r = file_text_read(path, REGISTRY_FILE_MAX, &edit->before);
        if (r == -ELOOP)
                return failure_set_write(failure, ELOOP, path, "replace");
        if (r < 0)
                return registry_unreadable(path, r, failure);
        if (!edit->before.text && (!first || exists_at(AT_FDCWD, layout->registry_previous) != 0))
                return registry_missing(layout, failure);

        *ret_text = strdup(edit->before.text ? edit->before.text : EMPTY_REGISTRY);
        if (!*ret_text)
                return failure_out_of_memory(failure);
        return registry_parse_text(path, *ret_text,
                edit->before.text ? edit->before.size : strlen(EMPTY_REGISTRY), &edit->registry,
                failure);
}

/* The new text, and what the parser says of it. */
static int make(const char *text, size_t index, json_object *project, const struct Project *old,
        struct RegistryEdit *edit, struct RegistryFault *fault) {
        _cleanup_registry_ struct Registry *registry = NULL;
        _cleanup_json_ json_object *document = NULL;
        _cleanup_free_ char *problem = NULL;
        int r;

        r = splice_text(text, index, edit->registry->n_projects, project, &edit->text, &edit->size);
        if (r < 0)
                return r;
        if (edit->size > REGISTRY_FILE_MAX)
                return registry_fault_set(fault, REGISTRY_FAULT_RANGE, NULL, NULL,
                        "shorten it, or remove other projects",
                        "would make the registry larger than %u bytes", REGISTRY_FILE_MAX);
        r = json_document_parse(edit->text, edit->size, REGISTRY_DEPTH_MAX, &document, &problem);
        if (r >= 0)
                r = registry_parse(document, index, old, &registry, fault);
        if (r < 0)
                return r;
        (void) registry_free(edit->registry);
        edit->registry = STEAL(registry);
        edit->project = index;
        return 0;
}

static json_object *project_of(json_object *document, size_t index) {
        return json_object_array_get_idx(json_object_object_get(document, "projects"), index);
}

static int edit_text(const char *text, const char *name, json_object *given,
        struct RegistryEdit *edit, enum RegistryEditResult *ret_result,
        struct RegistryFault *fault) {
        const struct Project *old = name ? registry_find(edit->registry, name) : NULL;
        _cleanup_json_ json_object *project = NULL, *document = NULL;
        _cleanup_free_ char *problem = NULL;
        size_t index;
        int r;

        *ret_result = REGISTRY_EDIT_UNKNOWN;
        if (name && !old)
                return 0;
        *ret_result = REGISTRY_EDIT_READY;
        index = old ? (size_t) (old - edit->registry->projects) : edit->registry->n_projects;
        r = take(given, old, &project, fault);
        if (r >= 0 && old)
                r = json_document_parse(
                        text, strlen(text), REGISTRY_DEPTH_MAX, &document, &problem);
        if (r >= 0 && old)
                r = inherit_all(project, project_of(document, index), old);
        return r < 0 ? r : make(text, index, project, old, edit, fault);
}

int registry_edit_prepare(const struct Operation *operation, const char *name, json_object *project,
        bool first, struct RegistryEdit *ret_edit, enum RegistryEditResult *ret_result,
        struct RegistryFault *ret_fault, struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        _cleanup_registry_edit_ struct RegistryEdit edit = { 0 };
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        enum RegistryEditResult result;
        _cleanup_free_ char *text = NULL;
        int r;

        r = lock(operation, &edit, failure);
        if (r >= 0)
                r = clean(layout, failure);
        if (r >= 0)
                r = read_current(layout, first, &edit, &text, failure);
        if (r < 0)
                return r;
        r = edit_text(text, name, project, &edit, &result, &fault);
        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        if (r < 0 && !fault.problem)
                return failure_set(failure, EVENT_INTERNAL_ERROR, 0, layout->registry,
                        "What would be written to %s cannot be read again, and is not written; "
                        "please report this",
                        layout->registry);

        *ret_result = r < 0 ? REGISTRY_EDIT_REFUSED : result;
        *ret_fault = fault;
        fault = (struct RegistryFault){ 0 };
        *ret_edit = edit;
        edit = (struct RegistryEdit){ 0 };
        return 0;
}

int registry_edit_commit(const struct Operation *operation, const struct RegistryEdit *edit,
        bool *ret_kept, struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        int r;

        if (edit->before.text) {
                r = file_text_copy(&edit->before, layout->registry_previous, ret_kept);
                if (r < 0)
                        return failure_set_write(failure, -r, layout->registry_previous, "write");
        }
        r = file_text_replace(&edit->before, layout->registry, edit->text, edit->size, ret_kept);
        if (r == -ESTALE)
                return failure_set(failure, EVENT_REGISTRY_CHANGED, ESTALE, layout->registry,
                        "Somebody else changed %s at the same moment; nothing was written, look at "
                        "it and try again",
                        layout->registry);
        return r < 0 ? failure_set_write(failure, -r, layout->registry, "write") : 0;
}

void registry_edit_clear(struct RegistryEdit *edit) {
        (void) lock_release(edit->lock);
        (void) lock_release(edit->store);
        file_text_clear(&edit->before);
        free(edit->text);
        (void) registry_free(edit->registry);
        *edit = (struct RegistryEdit){ 0 };
}
