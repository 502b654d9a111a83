/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/drill-result.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/file-io.h"
#include "lib/base/json-build.h"
#include "lib/base/json-document.h"

#define RESULT_MAX   ((size_t) 64 << 10)
#define RESULT_DEPTH 4

void drill_result_clear(struct DrillResult *result) {
        json_object_put(result->proof);
        *result = (struct DrillResult){ 0 };
}

struct json_object *drill_result_to_json(const struct DrillResult *result) {
        _cleanup_json_ json_object *object = json_object_new_object();
        char at[RFC3339_SIZE], seconds[32];

        rfc3339_format(result->drilled_at, at);
        (void) snprintf(seconds, sizeof seconds, "%" PRIu64 ".%03u", result->duration_ms / 1000,
                (unsigned) (result->duration_ms % 1000));
        if (!object || !json_set(object, "stamp", json_object_new_string(result->stamp)) ||
                !json_set(object, "drilled_at", json_object_new_string(at)) ||
                !json_set(object, "seconds",
                        json_object_new_double_s((double) result->duration_ms / 1000, seconds)) ||
                !json_set(object, "ok", json_object_new_boolean(!result->error)))
                return NULL;
        if (!result->error)
                return json_object_object_add(object, "error", NULL) < 0 ? NULL : STEAL(object);
        return json_set(object, "error", json_object_new_string(result->error)) ? STEAL(object)
                                                                                : NULL;
}

int drill_last(const struct Layout *layout, struct json_object **ret_result) {
        _cleanup_json_ json_object *object = NULL;
        _cleanup_free_ char *text = NULL, *problem = NULL;
        size_t size;
        int r;

        *ret_result = NULL;
        r = read_file_at(AT_FDCWD, layout->last_drill, RESULT_MAX, &text, &size);
        if (r >= 0)
                r = json_document_parse(text, size, RESULT_DEPTH, &object, &problem);
        if (r == -ENOMEM)
                return r;
        if (r >= 0 && json_object_is_type(object, json_type_object))
                *ret_result = STEAL(object);
        return 0;
}
