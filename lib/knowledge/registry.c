/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/base/file-io.h"
#include "lib/base/json-document.h"
#include "lib/base/json-locate.h"
#include "lib/base/text-stream.h"
#include "lib/knowledge/registry-parse.h"

int registry_unreadable(const char *path, int r, struct Failure *failure) {
        if (r == -EFBIG)
                return failure_set(failure, EVENT_REGISTRY_INVALID, 0, path,
                        "Project registry %s: it is larger than %u bytes; replace it by a registry",
                        path, REGISTRY_FILE_MAX);
        return failure_set_read(failure, -r, path, "read");
}

int registry_read(const char *path, char **ret_text, size_t *ret_size, struct Failure *failure) {
        int r = read_file_at(AT_FDCWD, path, REGISTRY_FILE_MAX, ret_text, ret_size);

        return r < 0 && r != -ENOENT ? registry_unreadable(path, r, failure) : r;
}

/* `line 12: project "p05": aliases[1] ...`, or `projects[3]` as long as it has no name. */
static int tell(const struct RegistryFault *fault, const char *path, const char *text,
        struct Failure *failure) {
        _cleanup_free_ char *pointer = registry_fault_pointer(fault), *where = NULL;
        size_t begin, end;
        int r = 0;

        if (fault->id)
                r = asprintf(&where, "project \"%s\": ", fault->id);
        else if (fault->project != REGISTRY_NO_PROJECT)
                r = asprintf(&where, "projects[%zu]: ", fault->project);
        if (r < 0)
                where = NULL;
        if (r < 0 || !pointer)
                return failure_out_of_memory(failure);
        (void) json_locate(text, pointer, &begin, &end);
        return failure_set(failure, EVENT_REGISTRY_INVALID, 0, path,
                "Project registry %s: line %zu: %s%s%s%s; %s", path, json_line(text, begin),
                where ? where : "", fault->field ? fault->field : "", fault->field ? " " : "",
                fault->problem, fault->advice);
}

int registry_parse_text(const char *path, const char *text, size_t size,
        struct Registry **ret_registry, struct Failure *failure) {
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        _cleanup_json_ json_object *document = NULL;
        _cleanup_free_ char *problem = NULL;
        int r;

        r = json_document_parse(text, size, REGISTRY_DEPTH_MAX, &document, &problem);
        if (r == -EBADMSG)
                return failure_set(failure, EVENT_REGISTRY_INVALID, 0, path,
                        "Project registry %s: %s; correct it there", path, problem);
        if (r >= 0)
                r = registry_parse(document, REGISTRY_NO_PROJECT, NULL, ret_registry, &fault);
        if (r == -EBADMSG)
                return tell(&fault, path, text, failure);
        return r < 0 ? failure_out_of_memory(failure) : 0;
}

int registry_load(const char *path, struct Registry **ret_registry, struct Failure *failure) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = registry_read(path, &text, &size, failure);
        return r < 0 ? r : registry_parse_text(path, text, size, ret_registry, failure);
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
