/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/project.h"

#include <errno.h>
#include <stdio.h>

#include "daemon/document.h"
#include "lib/knowledge/source.h"

static json_object *roots_to_json(const struct Project *project) {
        json_object *list = json_object_new_array();

        for (size_t i = 0; list && i < project->n_roots; i++) {
                const struct IngestRoot *root = &project->roots[i];
                json_object *object = json_object_new_object();

                document_add(object, "source", document_text(root->source));
                document_add(object, "subpath", document_text(root->subpath));
                document_add(object, "label", document_text(root->label));
                document_append(list, object);
        }
        return list;
}

json_object *project_to_json(const struct Project *project, const struct ProjectCounts *counts) {
        json_object *object = json_object_new_object();

        document_add(object, "id", document_text(project->id));
        document_add(object, "aliases", document_text_list(project->aliases));
        document_add(object, "description", document_text(project->description));
        document_add(object, "ingest_roots", roots_to_json(project));
        document_add(
                object, "documents", counts ? json_object_new_uint64(counts->documents) : NULL);
        document_add(object, "chunks", counts ? json_object_new_uint64(counts->chunks) : NULL);
        return object;
}

int project_root_look(const struct IngestRoot *root, const struct Layout *layout, char **ret_path) {
        _cleanup_source_ struct Source *source = NULL;
        _cleanup_free_ char *directory = NULL;

        if (asprintf(&directory, "%s/%s", layout->sources, root->source) < 0) {
                directory = NULL;
                return -ENOMEM;
        }
        if (asprintf(ret_path, "%s%s%s", directory, root->subpath[0] != '\0' ? "/" : "",
                    root->subpath) < 0) {
                *ret_path = NULL;
                return -ENOMEM;
        }
        return source_open(directory, root->subpath, &source);
}

static char *root_warning(const struct IngestRoot *root, const struct Layout *layout) {
        _cleanup_free_ char *path = NULL;
        char *text = NULL;
        char why[256];
        int r;

        r = project_root_look(root, layout, &path);
        if (r >= 0 || !path)
                return NULL;
        if (r == -ENOENT) {
                r = asprintf(&text,
                        "%s does not exist yet; create it: until then nothing is ingested from it, "
                        "and /health is degraded",
                        path);
        } else {
                source_unopened(-r, why, sizeof why);
                r = asprintf(&text, "%s %s; nothing is ingested from it", path, why);
        }
        return r < 0 ? NULL : text;
}

void project_add_warnings(
        const struct Project *project, const struct Layout *layout, json_object *list) {
        for (size_t i = 0; i < project->n_roots; i++) {
                _cleanup_free_ char *warning = root_warning(&project->roots[i], layout);

                if (warning)
                        document_append(list, document_text(warning));
        }
}
