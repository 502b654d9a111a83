/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a client gave, one field at a time. A field that is missing or of the wrong type is 400, one
 * whose value is out of range 422; either way the answer names the field, and nothing is assumed in
 * its place. JSON's null counts as absent. All return 0, or -ECANCELED with the response filled.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/request.h"
#include "daemon/response.h"

#define FIELDS_DEPTH_MAX 32

enum FieldNeed {
        FIELD_OPTIONAL,
        FIELD_REQUIRED,
};

/* The body as a JSON object; the caller puts it. An absent body is an empty object where it is
 * optional. */
int fields_parse(const struct Request *request, enum FieldNeed need, json_object **ret_object,
        struct Response *response);

/* UTF-8 without NUL, not empty; borrowed from `object`. *ret_text stays when the field is absent.
 */
int field_text(json_object *object, const char *name, enum FieldNeed need, const char **ret_text,
        struct Response *response);
/* A whole number in [min, max]; 3.0 and 1e3 are none. */
int field_number(json_object *object, const char *name, uint64_t min, uint64_t max,
        uint64_t *ret_value, struct Response *response);
int field_flag(json_object *object, const char *name, bool *ret_value, struct Response *response);
/* An array or object, as JSON text; the caller frees. */
int field_document(json_object *object, const char *name, enum json_type type, char **ret_text,
        struct Response *response);

/* The same of the query. A parameter given twice is refused. */
int parameter_text(const struct Request *request, const char *name, const char **ret_text,
        struct Response *response);
int parameter_number(const struct Request *request, const char *name, uint64_t min, uint64_t max,
        uint64_t *ret_value, struct Response *response);
/* RFC 3339; seconds since the epoch. */
int parameter_time(const struct Request *request, const char *name, int64_t *ret_seconds,
        struct Response *response);
