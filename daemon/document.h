/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * JSON documents for answers. Adding to an object that could not be made does nothing, so that
 * whoever builds one checks it once, at the end.
 */

#include <json-c/json.h>

/* Takes `value`; NULL is JSON's null. `object` may be NULL. */
void document_add(json_object *object, const char *name, json_object *value);
/* Takes `value`. `list` may be NULL. */
void document_append(json_object *list, json_object *value);

/* A string of what may hold the name of a file: bytes that are not UTF-8 read \xHH. NULL for NULL.
 */
json_object *document_text(const char *text);
/* NULL-terminated; NULL is an empty list. */
json_object *document_text_list(char *const *texts);
