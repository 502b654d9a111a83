/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/project.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/document.h"

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

static char *root_warning(const struct IngestRoot *root, const struct Layout *layout) {
        _cleanup_free_ char *path = NULL;
        char *text = NULL;
        struct stat status;
        int r;

        r = asprintf(&path, "%s/%s%s%s", layout->sources, root->source,
                root->subpath[0] != '\0' ? "/" : "", root->subpath);
        if (r < 0) {
                path = NULL;
                return NULL;
        }
        if (stat(path, &status) >= 0) {
                if (S_ISDIR(status.st_mode))
                        return NULL;
                r = asprintf(&text, "%s is no directory; nothing is ingested from it", path);
        } else if (errno == ENOENT) {
                r = asprintf(&text,
                        "%s does not exist yet; create it: until then nothing is ingested from it, "
                        "and /health is degraded",
                        path);
        } else {
                r = asprintf(&text, "Cannot look at %s: %m; nothing is ingested from it", path);
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
