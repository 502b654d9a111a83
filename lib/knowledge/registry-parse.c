/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/registry-parse.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "lib/base/layout.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"
#include "lib/knowledge/registry-name.h"

#define VALUE_SHOWN_MAX 200 /* bytes of a value in a message */

/* One reading of one document: where we are in it, for whoever is told what is wrong. */
struct Reading {
        struct Registry *registry;
        size_t last;               /* the one whose names are new, or REGISTRY_NO_PROJECT */
        const struct Project *old; /* what it was, whose names are not; or NULL */
        size_t project;            /* index of the one being read, or REGISTRY_NO_PROJECT */
        size_t root;               /* index of its root being read */
        bool in_root;
        struct RegistryFault *fault;
};

void registry_fault_clear(struct RegistryFault *fault) {
        free(fault->id);
        free(fault->field);
        free(fault->problem);
        free(fault->advice);
        free(fault->owner);
        *fault = (struct RegistryFault){ 0 };
}

char *registry_fault_pointer(const struct RegistryFault *fault) {
        char *pointer = NULL, *to;

        if (fault->project == REGISTRY_NO_PROJECT)
                return fault->field ? asprintf(&pointer, "/%s", fault->field) < 0 ? NULL : pointer
                                    : strdup("");
        if (asprintf(&pointer, "/projects/%zu%s%s", fault->project, fault->field ? "/" : "",
                    fault->field ? fault->field : "") < 0)
                return NULL;
        to = pointer;
        for (const char *from = pointer; *from != '\0'; from++)
                if (*from != ']')
                        *to++ = *from == '[' || *from == '.' ? '/' : *from;
        *to = '\0';
        return pointer;
}

static int set_fault(struct RegistryFault *fault, enum RegistryFaultKind kind, const char *field,
        const char *owner, const char *advice, const char *problem, va_list arguments)
        __attribute__((format(printf, 6, 0)));
static int set_fault(struct RegistryFault *fault, enum RegistryFaultKind kind, const char *field,
        const char *owner, const char *advice, const char *problem, va_list arguments) {
        struct RegistryFault found = {
                .kind = kind,
                .project = REGISTRY_NO_PROJECT,
                .field = field ? strdup(field) : NULL,
                .advice = strdup(advice),
                .owner = owner ? strdup(owner) : NULL,
        };

        if (vasprintf(&found.problem, problem, arguments) < 0)
                found.problem = NULL;
        if ((field && !found.field) || !found.advice || (owner && !found.owner) || !found.problem) {
                registry_fault_clear(&found);
                return -ENOMEM;
        }
        *fault = found;
        return -EBADMSG;
}

int registry_fault_set(struct RegistryFault *fault, enum RegistryFaultKind kind, const char *field,
        const char *owner, const char *advice, const char *problem, ...) {
        va_list arguments;

        va_start(arguments, problem);
        int r = set_fault(fault, kind, field, owner, advice, problem, arguments);
        va_end(arguments);
        return r;
}

static int invalid(const struct Reading *reading, enum RegistryFaultKind kind, const char *field,
        const char *owner, const char *advice, const char *problem, ...)
        __attribute__((format(printf, 6, 7)));
static int invalid(const struct Reading *reading, enum RegistryFaultKind kind, const char *field,
        const char *owner, const char *advice, const char *problem, ...) {
        _cleanup_free_ char *of_root = NULL;
        const char *id = NULL;
        va_list arguments;

        if (reading->in_root &&
                asprintf(&of_root, "ingest_roots[%zu]%s%s", reading->root, field ? "." : "",
                        field ? field : "") < 0) {
                of_root = NULL;
                return -ENOMEM;
        }
        va_start(arguments, problem);
        int r = set_fault(
                reading->fault, kind, of_root ? of_root : field, owner, advice, problem, arguments);
        va_end(arguments);
        if (r != -EBADMSG || reading->project == REGISTRY_NO_PROJECT)
                return r;

        reading->fault->project = reading->project;
        id = reading->registry->projects[reading->project].id;
        reading->fault->id = id ? strdup(id) : NULL;
        return id && !reading->fault->id ? -ENOMEM : r;
}

/* The same of a value that is shown. */
static int invalid_value(const struct Reading *reading, enum RegistryFaultKind kind,
        const char *field, const char *owner, const char *value, const char *problem,
        const char *advice) {
        _cleanup_free_ char *shown = text_escape(value);

        if (!shown)
                return -ENOMEM;
        size_t size = utf8_valid_prefix(shown, strnlen(shown, VALUE_SHOWN_MAX));
        return invalid(
                reading, kind, field, owner, advice, "\"%.*s\" %s", (int) size, shown, problem);
}

/* Fields. */

static int copy_string(
        const struct Reading *reading, json_object *value, const char *field, char **ret_text) {
        if (!json_object_is_type(value, json_type_string))
                return invalid(reading, REGISTRY_FAULT_TYPE, field, NULL,
                        "write it between double quotes", "is not a string");

        const char *text = json_object_get_string(value);
        if (strlen(text) != (size_t) json_object_get_string_len(value))
                return invalid(reading, REGISTRY_FAULT_RANGE, field, NULL, "remove it",
                        "holds a NUL character");

        char *copy = strdup(text);
        if (!copy)
                return -ENOMEM;
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
                return invalid(
                        reading, REGISTRY_FAULT_MISSING, field, NULL, "add it", "is missing");
        return copy_string(reading, value, field, ret_text);
}

static bool has_name(const struct Project *project, const char *name) {
        if (!project)
                return false;
        for (size_t i = 0; project->aliases[i]; i++)
                if (strcmp(project->aliases[i], name) == 0)
                        return true;
        return strcmp(project->id, name) == 0;
}

/* -EEXIST: *ret_owner has it. The index takes what a file has been served with; what is new must
 * differ by more than the composition of its letters. */
static int take_name(const struct Reading *reading, const char *name, bool is_new,
        const struct Project **ret_owner) {
        struct Registry *registry = reading->registry;

        if (is_new)
                *ret_owner = name_index_find(registry->names, name);
        if (is_new && *ret_owner)
                return -EEXIST;
        return name_index_add(
                registry->names, name, &registry->projects[reading->project], ret_owner);
}

static int add_name(const struct Reading *reading, const char *field, const char *name) {
        struct Registry *registry = reading->registry;
        const struct Project *project = &registry->projects[reading->project], *owner;
        bool is_new = reading->project == reading->last && !has_name(reading->old, name);
        _cleanup_free_ char *taken = NULL;
        char problem[128];
        int r;

        if (name[0] == '\0')
                return invalid(
                        reading, REGISTRY_FAULT_RANGE, field, NULL, "give it a name", "is empty");
        if (!text_is_printable(name))
                return invalid_value(reading, REGISTRY_FAULT_RANGE, field, NULL, name,
                        "holds control characters", "use letters, digits and dashes");

        if (is_new && !registry_name_is_fit(name, problem, sizeof problem))
                return invalid_value(reading, REGISTRY_FAULT_RANGE, field, NULL, name, problem,
                        "use letters, digits and dashes");

        r = take_name(reading, name, is_new, &owner);
        if (r == -EEXIST && owner == project)
                return invalid_value(reading, REGISTRY_FAULT_RANGE, field, NULL, name,
                        "is given twice in this project (without regard to case)",
                        "give each name once");
        if (r == -EEXIST) {
                if (asprintf(&taken,
                            "is an id or alias of project \"%s\" already (without regard to case)",
                            owner->id) < 0) {
                        taken = NULL;
                        return -ENOMEM;
                }
                return invalid_value(reading, REGISTRY_FAULT_TAKEN, field, owner->id, name, taken,
                        "make it unique");
        }
        return r < 0 ? -ENOMEM : 0;
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
                return invalid(reading, REGISTRY_FAULT_TYPE, "aliases", NULL,
                        "write it as an array of strings", "is not an array");
        if (aliases)
                n = json_object_array_length(aliases);

        project->aliases = calloc(n + 1, sizeof *project->aliases);
        if (!project->aliases)
                return -ENOMEM;
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

bool registry_normalise_subpath(char *path) {
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
                return invalid_value(reading, REGISTRY_FAULT_RANGE, "source", NULL, root->source,
                        "is no source", "use \"vault\" or \"drive\"");

        r = read_string(reading, object, "subpath", &given);
        if (r < 0)
                return r;
        root->subpath = strdup(given);
        if (!root->subpath)
                return -ENOMEM;
        if (!registry_normalise_subpath(root->subpath))
                return invalid_value(reading, REGISTRY_FAULT_RANGE, "subpath", NULL, given,
                        "leaves its source",
                        "give a path below the source, without \"..\" and not absolute");

        return read_optional_string(reading, object, "label", &root->label);
}

static int read_roots(struct Reading *reading, json_object *object, struct Project *project) {
        json_object *roots;
        int r;

        if (!json_object_object_get_ex(object, "ingest_roots", &roots))
                return invalid(reading, REGISTRY_FAULT_MISSING, "ingest_roots", NULL,
                        "add it: without roots a project has no documents", "is missing");
        if (!json_object_is_type(roots, json_type_array))
                return invalid(reading, REGISTRY_FAULT_TYPE, "ingest_roots", NULL,
                        "write it as an array of objects", "is not an array");

        size_t n = json_object_array_length(roots);
        if (n > REGISTRY_ROOTS_MAX)
                return invalid(reading, REGISTRY_FAULT_RANGE, "ingest_roots", NULL,
                        "name directories above them", "has %zu entries, more than %d", n,
                        REGISTRY_ROOTS_MAX);
        project->roots = calloc(n > 0 ? n : 1, sizeof *project->roots);
        if (!project->roots)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                json_object *root = json_object_array_get_idx(roots, i);

                reading->root = i;
                reading->in_root = true;
                if (!json_object_is_type(root, json_type_object))
                        return invalid(reading, REGISTRY_FAULT_TYPE, NULL, NULL,
                                "write it as {\"source\": …, \"subpath\": …}", "is not an object");
                project->n_roots = i + 1;
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
                return invalid(reading, REGISTRY_FAULT_TYPE, NULL, NULL,
                        "write each project as an object", "is not an object");
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
        size_t last = reading->last;
        json_object *projects;

        if (!json_object_is_type(document, json_type_object))
                return invalid(reading, REGISTRY_FAULT_TYPE, NULL, NULL,
                        "write it as {\"projects\": [...]}", "is not a JSON object");
        if (!json_object_object_get_ex(document, "projects", &projects))
                return invalid(reading, REGISTRY_FAULT_MISSING, "projects", NULL,
                        "add it: an array of projects", "is missing");
        if (!json_object_is_type(projects, json_type_array))
                return invalid(reading, REGISTRY_FAULT_TYPE, "projects", NULL, "write it as one",
                        "is not an array");

        size_t n = json_object_array_length(projects);
        registry->projects = calloc(n > 0 ? n : 1, sizeof *registry->projects);
        if (!registry->projects)
                return -ENOMEM;
        registry->n_projects = n;
        for (size_t turn = 0; turn < n; turn++) {
                size_t i = last == REGISTRY_NO_PROJECT || turn < last ? turn
                        : turn + 1 < n                                ? turn + 1
                                                                      : last;
                reading->project = i;
                int r = read_project(
                        reading, json_object_array_get_idx(projects, i), &registry->projects[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int registry_parse(json_object *document, size_t last, const struct Project *old,
        struct Registry **ret_registry, struct RegistryFault *ret_fault) {
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        _cleanup_registry_ struct Registry *registry = calloc(1, sizeof *registry);
        struct Reading reading = {
                .registry = registry,
                .last = last,
                .old = old,
                .project = REGISTRY_NO_PROJECT,
                .fault = &fault,
        };
        int r;

        if (!registry || name_index_new(&registry->names) < 0)
                return -ENOMEM;
        r = read_projects(&reading, document);
        if (r >= 0) {
                *ret_registry = STEAL(registry);
        } else if (r == -EBADMSG) {
                *ret_fault = fault;
                fault = (struct RegistryFault){ 0 };
        }
        return r;
}
