/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * atocore-ingest: index the sources.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/json-build.h"
#include "lib/base/json-document.h"
#include "lib/base/text-stream.h"
#include "lib/base/text.h"
#include "lib/knowledge/ingest.h"
#include "lib/knowledge/registry.h"
#include "ops/ingest-report.h"
#include "ops/op.h"

struct Arguments {
        bool list;
        bool allow_mass_removal;
        bool reembed;
};

static int parse_list(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        (void) failure;
        ((struct Arguments *) userdata)->list = true;
        return 0;
}

static int parse_allow_mass_removal(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        (void) failure;
        ((struct Arguments *) userdata)->allow_mass_removal = true;
        return 0;
}

static int parse_reembed(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        (void) failure;
        ((struct Arguments *) userdata)->reembed = true;
        return 0;
}

/* *ret_registry stays NULL where there is none. */
static int load_registry(
        const struct Command *command, struct Registry **ret_registry, struct Failure *failure) {
        int r = registry_load(command->layout->registry, ret_registry, failure);

        return r == -ENOENT && !failure_is_set(failure) ? 0 : r;
}

static int unknown_project(const struct Command *command, const struct Registry *registry,
        const char *name, struct Failure *failure) {
        const char *path = command->layout->registry;
        _cleanup_free_ char *known = NULL, *shown = text_escape(name);

        if (!shown)
                return failure_out_of_memory(failure);
        if (!registry)
                return failure_set(failure, EVENT_PROJECT_UNKNOWN, ENOENT, path,
                        "Project \"%s\" is not known, as there is no registry at %s; write one, or "
                        "ingest without naming a project",
                        shown, path);
        known = registry_known_ids(registry);
        if (!known)
                return failure_out_of_memory(failure);
        return failure_set(failure, EVENT_PROJECT_UNKNOWN, ENOENT, path,
                "Project \"%s\" is not in %s; known are: %s", shown, path,
                *known ? known : "none at all");
}

/* The projects named on the command line; caller frees the array. */
static int find_projects(const struct Command *command, const struct Registry *registry,
        const struct Project ***ret_projects, struct Failure *failure) {
        _cleanup_free_ const struct Project **projects =
                calloc(command->n_arguments + 1, sizeof *projects);

        if (!projects)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < command->n_arguments; i++) {
                const char *name = command->arguments[i];

                if (registry)
                        projects[i] = registry_find(registry, name);
                if (!projects[i])
                        return unknown_project(command, registry, name, failure);
        }
        *ret_projects = STEAL(projects);
        return 0;
}

/* "a, b" for messages; caller frees; NULL when memory ran out. */
static char *scope_of(const struct Project *const *projects, size_t n) {
        char *text = NULL;
        size_t size;
        FILE *f;

        if (n == 0)
                return strdup("all sources");
        f = text_stream_open(&text, &size);
        if (!f)
                return NULL;
        for (size_t i = 0; i < n; i++)
                (void) fprintf(f, "%s%s", i > 0 ? ", " : "", projects[i]->id);
        return fclose(f) == 0 ? text : NULL;
}

static void print_error(const struct IngestError *error) {
        _cleanup_free_ char *path = text_escape(error->path), *text = text_escape(error->error);

        printf("  %s: %s\n", path ? path : "?", text ? text : "?");
}

static int print_result(
        const struct Command *command, const struct IngestResult *result, struct Failure *failure) {
        if (command->json)
                return op_print_json(ingest_result_to_json(result), failure);
        if (command->verbosity == VERBOSITY_QUIET)
                return 0;
        printf("files   %" PRIu64 " seen, %" PRIu64 " indexed, %" PRIu64 " unchanged, %" PRIu64
               " removed\n",
                result->files_seen, result->files_indexed, result->files_unchanged,
                result->files_removed);
        printf("chunks  %" PRIu64 " added, %" PRIu64 " removed\n", result->chunks_added,
                result->chunks_removed);
        if (result->vectors.configured)
                printf("vectors %" PRIu64 " embedded, %" PRIu64 " from the cache, %" PRIu64
                       " removed, %" PRIu64 " pending\n",
                        result->vectors.embedded, result->vectors.from_cache,
                        result->vectors.removed, result->vectors.pending);
        printf("errors  %zu\n", result->n_errors);
        for (size_t i = 0; i < result->n_errors; i++)
                print_error(&result->errors[i]);
        return 0;
}

static int reembed(struct Command *command, struct Operation *operation, struct Failure *failure) {
        _cleanup_ingest_result_ struct IngestResult *result = NULL;
        int r;

        if (command->n_arguments > 0)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "--reembed takes no arguments: vectors are of all projects");
        event_emit(&(const struct Event){ .id = EVENT_INGEST_STARTED,
                           .path = command->layout->sources },
                "Embedding all chunks again");
        r = ingest_reembed(operation, &result, failure);
        if (r < 0)
                return r;
        ingest_report_done(command->layout, result, "nothing but vectors");
        return print_result(command, result, failure);
}

static int ingest(struct Command *command, struct Operation *operation,
        const struct Arguments *given, struct Failure *failure) {
        _cleanup_registry_ struct Registry *registry = NULL;
        _cleanup_free_ const struct Project **projects = NULL;
        _cleanup_ingest_result_ struct IngestResult *result = NULL;
        _cleanup_free_ char *scope = NULL;
        int r;

        /* All sources can be ingested whatever the registry is like. */
        if (command->n_arguments > 0) {
                r = load_registry(command, &registry, failure);
                if (r < 0)
                        return r;
        }
        r = find_projects(command, registry, &projects, failure);
        if (r < 0)
                return r;
        scope = scope_of(projects, command->n_arguments);
        if (!scope)
                return failure_out_of_memory(failure);

        event_emit(&(const struct Event){ .id = EVENT_INGEST_STARTED,
                           .path = command->layout->sources },
                "Ingesting %s below %s", scope, command->layout->sources);
        r = ingest_run(operation, projects, command->n_arguments, given->allow_mass_removal,
                &result, failure);
        if (r < 0)
                return r;
        ingest_report_done(command->layout, result, scope);
        return print_result(command, result, failure);
}

static json_object *project_to_json(const struct Project *project) {
        _cleanup_json_ json_object *object = json_object_new_object();
        _cleanup_json_ json_object *aliases = json_object_new_array();

        for (char *const *alias = project->aliases; aliases && *alias; alias++)
                if (!json_append(aliases, json_object_new_string(*alias)))
                        return NULL;
        if (!object || !json_set(object, "id", json_object_new_string(project->id)) ||
                !json_set(object, "aliases", STEAL(aliases)))
                return NULL;
        return STEAL(object);
}

static json_object *projects_to_json(const struct Registry *registry) {
        _cleanup_json_ json_object *object = json_object_new_object();
        _cleanup_json_ json_object *projects = json_object_new_array();

        for (size_t i = 0; projects && registry && i < registry->n_projects; i++)
                if (!json_append(projects, project_to_json(&registry->projects[i])))
                        return NULL;
        if (!object || !json_set(object, "projects", STEAL(projects)))
                return NULL;
        return STEAL(object);
}

/* A line for each project, its id first: completions read it. */
static int list(struct Command *command, struct Failure *failure) {
        _cleanup_registry_ struct Registry *registry = NULL;
        int r;

        if (command->n_arguments > 0)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL, "--list takes no arguments");
        r = load_registry(command, &registry, failure);
        if (r < 0)
                return r;
        if (command->json)
                return op_print_json(projects_to_json(registry), failure);
        for (size_t i = 0; registry && i < registry->n_projects; i++) {
                const struct Project *project = &registry->projects[i];
                _cleanup_free_ char *id = text_escape(project->id);

                printf("%s", id ? id : "?");
                for (char *const *alias = project->aliases; *alias; alias++) {
                        _cleanup_free_ char *shown = text_escape(*alias);
                        printf(" %s", shown ? shown : "?");
                }
                putchar('\n');
        }
        return 0;
}

static int run(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        const struct Arguments *given = userdata;

        if (given->list)
                return list(command, failure);
        if (given->reembed)
                return reembed(command, operation, failure);
        return ingest(command, operation, given, failure);
}

int main(int argc, char *argv[]) {
        static const struct Option options[] = {
                { .name = "list",
                        .help = "List the projects and their aliases, ingest nothing",
                        .parse = parse_list },
                { .name = "allow-mass-removal",
                        .help = "Remove documents even where a source seems to be gone",
                        .parse = parse_allow_mass_removal },
                { .name = "reembed",
                        .help = "Make all vectors anew, ingest nothing",
                        .parse = parse_reembed },
                { 0 },
        };
        struct Arguments arguments = { 0 };
        const struct Op op = {
                .program = {
                        .name = "atocore-ingest",
                        .summary = "Index the sources, or the roots of the projects named",
                        .arguments = "[PROJECT …]",
                        .options = options,
                },
                .run = run,
                .userdata = &arguments,
        };

        return op_main(&op, argc, argv);
}
