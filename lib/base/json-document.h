/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Text that somebody else wrote → one JSON value, strictly: RFC 8259, UTF-8, nothing behind it, no
 * NUL byte, bounded depth, and no field twice in one object (of which json-c would keep the last
 * without a word).
 *
 * Numbers are written as they were read. One beyond what json-c computes with is the nearest to who
 * asks for its value, who can thus call it out of range. Half a surrogate pair in an escape
 * (\ud83d) is no character: U+FFFD.
 */

#include <json-c/json.h>
#include <stddef.h>

#include "lib/base/cleanup.h"

DEFINE_POINTER_CLEANUP(json_object *, json_object_put)
#define _cleanup_json_ _cleanup_(json_object_putp)

/* `text` has a NUL behind its `size` bytes; `depth` is that of the nesting. -EBADMSG when it is not
 * as above: *ret_problem then reads `line 3: unexpected character` (the caller frees). -ENOMEM.
 * JSON's null is a NULL document. */
int json_document_parse(
        const char *text, size_t size, int depth, json_object **ret_document, char **ret_problem);

/* The text, to look strictly at its grammar, without what json-c 0.18 refuses when it is strict: an
 * x for each byte above 127, which it takes for control characters
 * (https://github.com/json-c/json-c/issues/892), and for each integer beyond 64 bits the nearest
 * that 64 bits hold, and blanks. The caller frees; NULL when memory ran out. */
char *json_document_mask(const char *text, size_t size);

/* The member of that name and type; NULL: there is none, or `object` is no object. Borrowed. */
static inline json_object *json_typed_member(
        json_object *object, const char *name, enum json_type type) {
        json_object *value;

        return json_object_is_type(object, json_type_object) &&
                        json_object_object_get_ex(object, name, &value) &&
                        json_object_is_type(value, type)
                ? value
                : NULL;
}
