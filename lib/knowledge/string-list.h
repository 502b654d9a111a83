/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A growing list of strings that becomes a NULL-terminated array. Owns its strings.
 */

#include <stddef.h>

#include "lib/base/cleanup.h"

struct StringList {
        char **items;
        size_t n, allocated;
};

/* Takes `string`, also on failure; NULL is one: -ENOMEM. */
int string_list_take(struct StringList *list, char *string);
/* The array, never NULL but for want of memory; the list is empty then. To be freed with
 * string_array_free(). */
char **string_list_finish(struct StringList *list);
void string_list_clear(struct StringList *list);

void string_array_free(char **strings); /* NULL is fine */
