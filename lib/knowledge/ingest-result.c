/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/ingest-result.h"

#include <errno.h>
#include <string.h>

#include "lib/base/json-build.h"
#include "lib/base/json-document.h"

int ingest_result_add_error(
        struct IngestResult *result, enum EventId id, const char *path, const char *error) {
        _cleanup_free_ char *path_copy = strdup(path), *error_copy = strdup(error);

        if (!path_copy || !error_copy)
                return -ENOMEM;
        if (result->n_errors == result->errors_allocated) {
                size_t allocated = result->errors_allocated > 0 ? result->errors_allocated * 2 : 8;
                struct IngestError *errors =
                        reallocarray(result->errors, allocated, sizeof *errors);
                if (!errors)
                        return -ENOMEM;
                result->errors = errors;
                result->errors_allocated = allocated;
        }
        result->errors[result->n_errors++] =
                (struct IngestError){ id, STEAL(path_copy), STEAL(error_copy) };
        return 0;
}

static void error_clear(struct IngestError *error) {
        free(error->path);
        free(error->error);
}

void ingest_result_drop_errors(struct IngestResult *result, size_t first, enum EventId id) {
        size_t kept = first;

        for (size_t i = first; i < result->n_errors; i++) {
                if (result->errors[i].id == id)
                        error_clear(&result->errors[i]);
                else
                        result->errors[kept++] = result->errors[i];
        }
        result->n_errors = kept;
}

static json_object *error_to_json(const struct IngestError *error) {
        _cleanup_json_ json_object *object = json_object_new_object();

        if (!object || !json_set(object, "path", json_object_new_string(error->path)) ||
                !json_set(object, "error", json_object_new_string(error->error)))
                return NULL;
        return STEAL(object);
}

static json_object *errors_to_json(const struct IngestResult *result) {
        _cleanup_json_ json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < result->n_errors; i++)
                if (!json_append(array, error_to_json(&result->errors[i])))
                        return NULL;
        return STEAL(array);
}

static json_object *vectors_to_json(const struct IngestResult *result) {
        _cleanup_json_ json_object *object = json_object_new_object();
        const struct {
                const char *key;
                uint64_t value;
        } numbers[] = {
                { "embedded", result->vectors.embedded },
                { "from_cache", result->vectors.from_cache },
                { "removed", result->vectors.removed },
                { "pending", result->vectors.pending },
        };

        if (!object)
                return NULL;
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
                if (!json_set(object, numbers[i].key, json_object_new_uint64(numbers[i].value)))
                        return NULL;
        if (!result->vectors_problem)
                return json_object_object_add(object, "problem", NULL) == 0 ? STEAL(object) : NULL;
        return json_set(object, "problem", json_object_new_string(result->vectors_problem))
                ? STEAL(object)
                : NULL;
}

json_object *ingest_result_to_json(const struct IngestResult *result) {
        _cleanup_json_ json_object *object = json_object_new_object();
        const struct {
                const char *key;
                uint64_t value;
        } numbers[] = {
                { "files_seen", result->files_seen },
                { "files_indexed", result->files_indexed },
                { "files_unchanged", result->files_unchanged },
                { "files_removed", result->files_removed },
                { "chunks_added", result->chunks_added },
                { "chunks_removed", result->chunks_removed },
                { "duration_ms", result->duration_ms },
        };

        if (!object)
                return NULL;
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
                if (!json_set(object, numbers[i].key, json_object_new_uint64(numbers[i].value)))
                        return NULL;
        if (result->vectors.configured ? !json_set(object, "vectors", vectors_to_json(result))
                                       : json_object_object_add(object, "vectors", NULL) != 0)
                return NULL;
        return json_set(object, "errors", errors_to_json(result)) ? STEAL(object) : NULL;
}

struct IngestResult *ingest_result_free(struct IngestResult *result) {
        if (!result)
                return NULL;
        for (size_t i = 0; i < result->n_errors; i++)
                error_clear(&result->errors[i]);
        free(result->errors);
        free(result->vectors_problem);
        free(result);
        return NULL;
}
