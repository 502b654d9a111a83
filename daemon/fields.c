/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/fields.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/json-document.h"
#include "lib/base/stamp.h"

static int refuse(struct Response *response, unsigned status, const char *code, const char *kind,
        const char *name, const char *what) {
        (void) response_problem(response, status, code, "%s %s %s", kind, name, what);
        response_add_member(response, "field", json_object_new_string(name));
        return -ECANCELED;
}

static int wrong_type(struct Response *response, const char *name, const char *what) {
        return refuse(response, HTTP_BAD_REQUEST, "field_type", "Field", name, what);
}

static int refuse_range(
        struct Response *response, const char *kind, const char *name, uint64_t min, uint64_t max) {
        char what[96];

        (void) snprintf(
                what, sizeof what, "must be a whole number from %" PRIu64 " to %" PRIu64, min, max);
        return refuse(response, HTTP_UNPROCESSABLE, "field_range", kind, name, what);
}

int fields_parse(const struct Request *request, enum FieldNeed need, json_object **ret_object,
        struct Response *response) {
        _cleanup_json_ json_object *object = NULL;
        _cleanup_free_ char *problem = NULL;
        int r;

        if (request->body_size == 0 && need == FIELD_OPTIONAL) {
                *ret_object = json_object_new_object();
                return *ret_object ? 0 : response_out_of_memory(response);
        }
        if (request->body_size == 0)
                return response_problem(response, HTTP_BAD_REQUEST, "body_missing",
                        "The request has no body; a JSON object is expected");

        r = json_document_parse(
                request->body, request->body_size, FIELDS_DEPTH_MAX, &object, &problem);
        if (r == -ENOMEM)
                return response_out_of_memory(response);
        if (r < 0)
                return response_problem(response, HTTP_BAD_REQUEST, "json_malformed",
                        "The body is no well-formed JSON: %s",
                        problem ? problem : "it cannot be read");
        if (!json_object_is_type(object, json_type_object))
                return response_problem(response, HTTP_BAD_REQUEST, "json_no_object",
                        "The body is JSON, but no object; an object is expected");
        *ret_object = STEAL(object);
        return 0;
}

/* NULL when absent, or null. */
static json_object *member(json_object *object, const char *name) {
        json_object *value = NULL;

        (void) json_object_object_get_ex(object, name, &value);
        return value;
}

int field_text(json_object *object, const char *name, enum FieldNeed need, const char **ret_text,
        struct Response *response) {
        json_object *value = member(object, name);
        const char *text;
        size_t size;

        if (!value && need == FIELD_REQUIRED)
                return refuse(
                        response, HTTP_BAD_REQUEST, "field_missing", "Field", name, "is missing");
        if (!value)
                return 0;
        if (!json_object_is_type(value, json_type_string))
                return wrong_type(response, name, "must be a string");
        text = json_object_get_string(value);
        size = (size_t) json_object_get_string_len(value);
        if (size == 0)
                return refuse(response, HTTP_UNPROCESSABLE, "field_range", "Field", name,
                        "must not be empty");
        if (memchr(text, '\0', size))
                return refuse(response, HTTP_UNPROCESSABLE, "field_range", "Field", name,
                        "must not have a NUL character");
        *ret_text = text;
        return 0;
}

int field_number(json_object *object, const char *name, uint64_t min, uint64_t max,
        uint64_t *ret_value, struct Response *response) {
        json_object *value = member(object, name);
        uint64_t number;

        if (!value)
                return 0;
        if (!json_object_is_type(value, json_type_int))
                return wrong_type(response, name, "must be a whole number");
        number = json_object_get_uint64(value); /* negative: 0; too large: UINT64_MAX */
        if (json_object_get_int64(value) < 0 || number < min || number > max)
                return refuse_range(response, "Field", name, min, max);
        *ret_value = number;
        return 0;
}

int field_flag(json_object *object, const char *name, bool *ret_value, struct Response *response) {
        json_object *value = member(object, name);

        if (!value)
                return 0;
        if (!json_object_is_type(value, json_type_boolean))
                return wrong_type(response, name, "must be true or false");
        *ret_value = json_object_get_boolean(value);
        return 0;
}

int field_document(json_object *object, const char *name, enum json_type type, char **ret_text,
        struct Response *response) {
        json_object *value = member(object, name);
        const char *text;

        if (!value)
                return 0;
        if (!json_object_is_type(value, type))
                return wrong_type(response, name,
                        type == json_type_array ? "must be an array" : "must be an object");
        text = json_object_to_json_string_ext(
                value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        *ret_text = text ? strdup(text) : NULL;
        return *ret_text ? 0 : response_out_of_memory(response);
}

/* The query. */

int parameter_text(const struct Request *request, const char *name, const char **ret_text,
        struct Response *response) {
        const char *found = NULL;

        for (size_t i = 0; i < request->n_parameters; i++) {
                if (strcmp(request->parameters[i].name, name) != 0)
                        continue;
                if (found)
                        return refuse(response, HTTP_BAD_REQUEST, "field_type", "Parameter", name,
                                "is given more than once");
                found = request->parameters[i].value;
        }
        if (!found)
                return 0;
        if (found[0] == '\0')
                return refuse(response, HTTP_UNPROCESSABLE, "field_range", "Parameter", name,
                        "must not be empty");
        *ret_text = found;
        return 0;
}

int parameter_number(const struct Request *request, const char *name, uint64_t min, uint64_t max,
        uint64_t *ret_value, struct Response *response) {
        const char *text = NULL;
        uint64_t number;
        int r;

        r = parameter_text(request, name, &text, response);
        if (r < 0 || !text)
                return r;
        if (text[strspn(text, "0123456789")] != '\0')
                return refuse(response, HTTP_BAD_REQUEST, "field_type", "Parameter", name,
                        "must be a whole number");
        errno = 0;
        number = strtoull(text, NULL, 10);
        if (errno != 0 || number < min || number > max)
                return refuse_range(response, "Parameter", name, min, max);
        *ret_value = number;
        return 0;
}

int parameter_time(const struct Request *request, const char *name, int64_t *ret_seconds,
        struct Response *response) {
        const char *text = NULL;
        int r;

        r = parameter_text(request, name, &text, response);
        if (r < 0 || !text)
                return r;
        if (rfc3339_parse(text, ret_seconds) < 0)
                return refuse(response, HTTP_BAD_REQUEST, "field_type", "Parameter", name,
                        "must be a time like 2026-04-07T06:00:00Z");
        return 0;
}
