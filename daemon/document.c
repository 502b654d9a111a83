/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/document.h"

#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"

void document_add(json_object *object, const char *name, json_object *value) {
        if (!object || json_object_object_add(object, name, value) < 0)
                (void) json_object_put(value);
}

void document_append(json_object *list, json_object *value) {
        if (!list || json_object_array_add(list, value) < 0)
                (void) json_object_put(value);
}

json_object *document_text(const char *text) {
        _cleanup_free_ char *escaped = NULL;

        if (!text || utf8_is_valid(text, strlen(text)))
                return text ? json_object_new_string(text) : NULL;
        escaped = text_escape(text);
        return escaped ? json_object_new_string(escaped) : NULL;
}

json_object *document_text_list(char *const *texts) {
        json_object *list = json_object_new_array();

        for (; texts && *texts; texts++)
                document_append(list, document_text(*texts));
        return list;
}
