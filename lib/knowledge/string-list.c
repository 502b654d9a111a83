/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/string-list.h"

#include <errno.h>

int string_list_take(struct StringList *list, char *string) {
        _cleanup_free_ char *taken = string;

        if (!taken)
                return -ENOMEM;
        if (list->n == list->allocated) {
                size_t allocated = list->allocated > 0 ? list->allocated * 2 : 8;
                char **items = reallocarray(list->items, allocated, sizeof *items);
                if (!items)
                        return -ENOMEM;
                list->items = items;
                list->allocated = allocated;
        }
        list->items[list->n++] = STEAL(taken);
        return 0;
}

char **string_list_finish(struct StringList *list) {
        char **strings = reallocarray(list->items, list->n + 1, sizeof *strings);

        if (!strings)
                return NULL;
        strings[list->n] = NULL;
        *list = (struct StringList){ 0 };
        return strings;
}

void string_list_clear(struct StringList *list) {
        for (size_t i = 0; i < list->n; i++)
                free(list->items[i]);
        free(list->items);
        *list = (struct StringList){ 0 };
}

void string_array_free(char **strings) {
        for (char **s = strings; s && *s; s++)
                free(*s);
        free(strings);
}
