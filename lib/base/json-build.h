/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Building JSON where memory may run out anywhere: both take `value` over, whatever happens, and
 * take NULL for one that could not be made. False: memory ran out.
 */

#include <json-c/json.h>
#include <stdbool.h>

static inline bool json_set(json_object *object, const char *name, json_object *value) {
        if (value && json_object_object_add(object, name, value) == 0)
                return true;
        (void) json_object_put(value);
        return false;
}

static inline bool json_append(json_object *array, json_object *value) {
        if (value && json_object_array_add(array, value) == 0)
                return true;
        (void) json_object_put(value);
        return false;
}
