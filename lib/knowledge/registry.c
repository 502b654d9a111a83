/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "lib/base/file-io.h"
#include "lib/base/json-document.h"
#include "lib/base/layout.h"
#include "lib/base/text-stream.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"

#define VALUE_SHOWN_MAX 200 /* bytes of a value in a message */

/* One reading of one file: where we are in it, for the sentence that says what is wrong. */
struct Reading {
        const char *path;
        struct Registry *registry;
        size_t project; /* index of the one being read */
        size_t root;    /* index of its root being read */
        bool in_root;
        struct Failure *failure;
};

static int invalid(const struct Reading *reading, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
static int invalid(const struct Reading *reading, const char *format, ...) {
        _cleanup_free_ char *problem = NULL;
        va_list arguments;

        va_start(arguments, format);
        int r = vasprintf(&problem, format, arguments);
        va_end(arguments);
        if (r < 0) {
                problem = NULL;
                return failure_out_of_memory(reading->failure);
        }
        return failure_set(reading->failure, EVENT_REGISTRY_INVALID, 0, reading->path,
                "Project registry %s: %s", reading->path, problem);
}

/* `project "p05"`, or `projects[3]` as long as it has no name. */
static int invalid_project(const struct Reading *reading, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
static int invalid_project(const struct Reading *reading, const char *format, ...) {
        const char *id = reading->registry->projects[reading->project].id;
        _cleanup_free_ char *problem = NULL;
        va_list arguments;

        va_start(arguments, format);
        int r = vasprintf(&problem, format, arguments);
        va_end(arguments);
        if (r < 0) {
                problem = NULL;
                return failure_out_of_memory(reading->failure);
        }
        if (id)
                return invalid(reading, "project \"%s\": %s", id, problem);
        return invalid(reading, "projects[%zu]: %s", reading->project, problem);
}

/* Reading a field: the name as the reader of the message finds it. */

static int invalid_field(
        const struct Reading *reading, const char *field, const char *problem, const char *advice) {
        if (reading->in_root)
                return invalid_project(reading, "ingest_roots[%zu].%s %s; %s", reading->root, field,
                        problem, advice);
        return invalid_project(reading, "%s %s; %s", field, problem, advice);
}

static int invalid_value(const struct Reading *reading, const char *field, const char *value,
        const char *problem, const char *advice) {
        _cleanup_free_ char *shown = text_escape(value);
        _cleanup_free_ char *text = NULL;

        if (!shown)
                return failure_out_of_memory(reading->failure);
        size_t size = utf8_valid_prefix(shown, strnlen(shown, VALUE_SHOWN_MAX));
        if (asprintf(&text, "\"%.*s\" %s", (int) size, shown, problem) < 0) {
                text = NULL;
                return failure_out_of_memory(reading->failure);
        }
        return invalid_field(reading, field, text, advice);
}

static int copy_string(
        const struct Reading *reading, json_object *value, const char *field, char **ret_text) {
        if (!json_object_is_type(value, json_type_string))
                return invalid_field(
                        reading, field, "is not a string", "write it between double quotes");

        const char *text = json_object_get_string(value);
        if (strlen(text) != (size_t) json_object_get_string_len(value))
                return invalid_field(reading, field, "holds a NUL character", "remove it");

        char *copy = strdup(text);
        if (!copy)
                return failure_out_of_memory(reading->failure);
        *ret_text = copy;
        return 0;
}

/* A field that may be absent or null: *ret_text is then left as it is. */
static int read_optional_string(
        const struct Reading *reading, json_object *object, const char *field, char **ret_text) {
        json_object *value = json_object_object_get(object, field);

        return value ? copy_string(reading, value, field, ret_text) : 0;
}

static int read_string(
        const struct Reading *reading, json_object *object, const char *field, char **ret_text) {
        json_object *value;

        if (!json_object_object_get_ex(object, field, &value))
                return invalid_field(reading, field, "is missing", "add it");
        return copy_string(reading, value, field, ret_text);
}

static int add_name(const struct Reading *reading, const char *field, const char *name) {
        struct Registry *registry = reading->registry;
        _cleanup_free_ char *taken = NULL;
        const struct Project *owner;
        int r;

        if (name[0] == '\0')
                return invalid_field(reading, field, "is empty", "give it a name");
        if (!text_is_printable(name))
                return invalid_value(reading, field, name, "holds control characters",
                        "use letters, digits and dashes");

        r = name_index_add(registry->names, name, &registry->projects[reading->project], &owner);
        if (r == -EEXIST) {
                if (asprintf(&taken,
                            "is an id or alias of project \"%s\" already (without regard to case)",
                            owner->id) < 0) {
                        taken = NULL;
                        return failure_out_of_memory(reading->failure);
                }
                return invalid_value(reading, field, name, taken, "make it unique");
        }
        return r < 0 ? failure_out_of_memory(reading->failure) : 0;
}

/* Projects. */

static int read_id(const struct Reading *reading, json_object *object, struct Project *project) {
        _cleanup_free_ char *id = NULL;
        int r;

        r = read_string(reading, object, "id", &id);
        if (r < 0)
                return r;
        /* Not the project's before it is known to be fit: until then messages use the index. */
        r = add_name(reading, "id", id);
        if (r < 0)
                return r;
        project->id = STEAL(id);
        return 0;
}

static int read_aliases(
        const struct Reading *reading, json_object *object, struct Project *project) {
        json_object *aliases = json_object_object_get(object, "aliases");
        size_t n = 0;

        if (aliases && !json_object_is_type(aliases, json_type_array))
                return invalid_field(
                        reading, "aliases", "is not an array", "write it as an array of strings");
        if (aliases)
                n = json_object_array_length(aliases);

        project->aliases = calloc(n + 1, sizeof *project->aliases);
        if (!project->aliases)
                return failure_out_of_memory(reading->failure);
        for (size_t i = 0; i < n; i++) {
                char field[64];
                int r;

                (void) snprintf(field, sizeof field, "aliases[%zu]", i);
                r = copy_string(reading, json_object_array_get_idx(aliases, i), field,
                        &project->aliases[i]);
                if (r < 0)
                        return r;
                r = add_name(reading, field, project->aliases[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool is_source(const char *name) {
        for (size_t i = 0; layout_source_names[i]; i++)
                if (strcmp(name, layout_source_names[i]) == 0)
                        return true;
        return false;
}

/* In place: without "." and empty components. False when it leaves what it is below. */
static bool normalise_subpath(char *path) {
        char *to = path;

        if (path[0] == '/')
                return false;
        for (const char *from = path; *from != '\0';) {
                size_t length = strcspn(from, "/");
                const char *next = from + length + (from[length] == '/');

                if (length == 2 && memcmp(from, "..", 2) == 0)
                        return false;
                if (length > 0 && !(length == 1 && from[0] == '.')) {
                        if (to > path)
                                *to++ = '/';
                        memmove(to, from, length);
                        to += length;
                }
                from = next;
        }
        *to = '\0';
        return true;
}

static int read_root(const struct Reading *reading, json_object *object, struct IngestRoot *root) {
        _cleanup_free_ char *given = NULL;
        int r;

        r = read_string(reading, object, "source", &root->source);
        if (r < 0)
                return r;
        if (!is_source(root->source))
                return invalid_value(reading, "source", root->source, "is no source",
                        "use \"vault\" or \"drive\"");

        r = read_string(reading, object, "subpath", &given);
        if (r < 0)
                return r;
        root->subpath = strdup(given);
        if (!root->subpath)
                return failure_out_of_memory(reading->failure);
        if (!normalise_subpath(root->subpath))
                return invalid_value(reading, "subpath", given, "leaves its source",
                        "give a path below the source, without \"..\" and not absolute");

        return read_optional_string(reading, object, "label", &root->label);
}

static int read_roots(struct Reading *reading, json_object *object, struct Project *project) {
        json_object *roots;
        int r;

        if (!json_object_object_get_ex(object, "ingest_roots", &roots))
                return invalid_field(reading, "ingest_roots", "is missing",
                        "add it: without roots a project has no documents");
        if (!json_object_is_type(roots, json_type_array))
                return invalid_field(reading, "ingest_roots", "is not an array",
                        "write it as an array of objects");

        size_t n = json_object_array_length(roots);
        if (n > REGISTRY_ROOTS_MAX)
                return invalid_project(reading,
                        "ingest_roots has %zu entries, more than %d; name directories above them",
                        n, REGISTRY_ROOTS_MAX);
        project->roots = calloc(n > 0 ? n : 1, sizeof *project->roots);
        if (!project->roots)
                return failure_out_of_memory(reading->failure);
        for (size_t i = 0; i < n; i++) {
                json_object *root = json_object_array_get_idx(roots, i);

                if (!json_object_is_type(root, json_type_object))
                        return invalid_project(reading,
                                "ingest_roots[%zu] is not an object; write it as {\"source\": …, "
                                "\"subpath\": …}",
                                i);
                project->n_roots = i + 1;
                reading->root = i;
                reading->in_root = true;
                r = read_root(reading, root, &project->roots[i]);
                reading->in_root = false;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_project(struct Reading *reading, json_object *object, struct Project *project) {
        int r;

        if (!json_object_is_type(object, json_type_object))
                return invalid_project(
                        reading, "is not an object; write each project as an object");
        r = read_id(reading, object, project);
        if (r < 0)
                return r;
        r = read_aliases(reading, object, project);
        if (r < 0)
                return r;
        r = read_optional_string(reading, object, "description", &project->description);
        if (r < 0)
                return r;
        return read_roots(reading, object, project);
}

static int read_projects(struct Reading *reading, json_object *document) {
        struct Registry *registry = reading->registry;
        json_object *projects;

        if (!json_object_is_type(document, json_type_object))
                return invalid(reading, "is not a JSON object; write it as {\"projects\": [...]}");
        if (!json_object_object_get_ex(document, "projects", &projects))
                return invalid(reading, "projects is missing; add it: an array of projects");
        if (!json_object_is_type(projects, json_type_array))
                return invalid(reading, "projects is not an array; write it as one");

        size_t n = json_object_array_length(projects);
        registry->projects = calloc(n > 0 ? n : 1, sizeof *registry->projects);
        if (!registry->projects)
                return failure_out_of_memory(reading->failure);
        for (size_t i = 0; i < n; i++) {
                reading->project = i;
                registry->n_projects = i + 1;
                int r = read_project(
                        reading, json_object_array_get_idx(projects, i), &registry->projects[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int registry_load(const char *path, struct Registry **ret_registry, struct Failure *failure) {
        struct Reading reading = { .path = path, .failure = failure };
        _cleanup_registry_ struct Registry *registry = NULL;
        _cleanup_json_ json_object *document = NULL;
        _cleanup_free_ char *text = NULL, *problem = NULL;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, path, REGISTRY_FILE_MAX, &text, &size);
        if (r == -ENOENT)
                return r;
        if (r == -EFBIG)
                return invalid(&reading, "it is larger than %u bytes; replace it by a registry",
                        REGISTRY_FILE_MAX);
        if (r < 0)
                return failure_set_read(failure, -r, path, "read");
        r = json_document_parse(text, size, REGISTRY_DEPTH_MAX, &document, &problem);
        if (r == -EBADMSG)
                return invalid(&reading, "%s; correct it there", problem);
        if (r < 0)
                return failure_out_of_memory(failure);

        registry = calloc(1, sizeof *registry);
        if (!registry || name_index_new(&registry->names) < 0)
                return failure_out_of_memory(failure);
        reading.registry = registry;
        r = read_projects(&reading, document);
        if (r < 0)
                return r;

        *ret_registry = STEAL(registry);
        return 0;
}

static void free_project(struct Project *project) {
        free(project->id);
        for (size_t i = 0; project->aliases && project->aliases[i]; i++)
                free(project->aliases[i]);
        free(project->aliases);
        free(project->description);
        for (size_t i = 0; i < project->n_roots; i++) {
                free(project->roots[i].source);
                free(project->roots[i].subpath);
                free(project->roots[i].label);
        }
        free(project->roots);
}

struct Registry *registry_free(struct Registry *registry) {
        if (!registry)
                return NULL;
        for (size_t i = 0; i < registry->n_projects; i++)
                free_project(&registry->projects[i]);
        free(registry->projects);
        name_index_free(registry->names);
        free(registry);
        return NULL;
}

const struct Project *registry_find(const struct Registry *registry, const char *name) {
        return name_index_find(registry->names, name);
}

char *registry_known_ids(const struct Registry *registry) {
        char *text = NULL;
        size_t size = 0;
        FILE *stream = text_stream_open(&text, &size);

        if (!stream)
                return NULL;
        for (size_t i = 0; i < registry->n_projects; i++)
                (void) fprintf(stream, "%s%s", i > 0 ? ", " : "", registry->projects[i].id);
        return fclose(stream) == 0 ? text : NULL;
}
