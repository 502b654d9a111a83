/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/json-locate.h"

#include <string.h>

#include "lib/base/json-document.h"

/* All of these walk over text that is known to be JSON; the ends are looked at all the same. */

static const char *skip_space(const char *p) {
        return p + strspn(p, " \t\r\n");
}

static const char *skip_string(const char *p) {
        for (p++; *p != '"' && *p != '\0'; p++)
                if (*p == '\\' && p[1] != '\0')
                        p++;
        return *p == '"' ? p + 1 : p;
}

static const char *skip_value(const char *p) {
        size_t depth = 0;

        do {
                p = skip_space(p);
                if (*p == '"')
                        p = skip_string(p);
                else if (*p == '{' || *p == '[')
                        depth++, p++;
                else if (*p == '}' || *p == ']')
                        depth--, p++;
                else if (*p == ',' || *p == ':')
                        p++;
                else
                        p += strcspn(p, " \t\r\n,:]}");
        } while (depth > 0 && *p != '\0');
        return p;
}

/* What a string with escapes says, quotes included; NULL: memory ran out. The caller puts it. */
static json_object *read_escaped(const char *begin, size_t size) {
        _cleanup_free_ char *quoted = strndup(begin, size);

        return quoted ? json_tokener_parse(quoted) : NULL;
}

/* The key from `begin` to `end`, quotes included, as a string; caller frees. */
static char *unquote(const char *begin, const char *end) {
        _cleanup_json_ json_object *string = NULL;
        size_t size = (size_t) (end - begin);

        if (!memchr(begin, '\\', size))
                return strndup(begin + 1, size - 2);
        string = read_escaped(begin, size);
        return string ? strdup(json_object_get_string(string)) : NULL;
}

/* The string from `begin` to `end`, quotes included, is `name`. */
static bool is_named(const char *begin, const char *end, const char *name, size_t length) {
        _cleanup_json_ json_object *string = NULL;
        size_t size = (size_t) (end - begin);

        if (!memchr(begin, '\\', size))
                return size == length + 2 && memcmp(begin + 1, name, length) == 0;
        string = read_escaped(begin, size);
        return string && (size_t) json_object_get_string_len(string) == length &&
                memcmp(json_object_get_string(string), name, length) == 0;
}

/* The value of the member of the object at `p`; NULL when it has none of that name. */
static const char *find_member(const char *p, const char *name, size_t length) {
        p = skip_space(p + 1);
        while (*p == '"') {
                const char *key = p, *end = skip_string(p);

                p = skip_space(end);
                p = skip_space(p + (*p == ':'));
                if (is_named(key, end, name, length))
                        return p;
                p = skip_space(skip_value(p));
                if (*p == ',')
                        p = skip_space(p + 1);
        }
        return NULL;
}

/* The element of the array at `p`; NULL when it has not as many. */
static const char *find_element(const char *p, const char *index) {
        unsigned long left = strtoul(index, NULL, 10);

        p = skip_space(p + 1);
        if (*p == ']')
                return NULL;
        for (; left > 0; left--) {
                p = skip_space(skip_value(p));
                if (*p != ',')
                        return NULL;
                p = skip_space(p + 1);
        }
        return p;
}

bool json_locate(const char *text, const char *pointer, size_t *ret_begin, size_t *ret_end) {
        const char *p = skip_space(text), *found = p;

        while (found && *pointer == '/') {
                size_t length = strcspn(++pointer, "/");

                found = *p == '{'   ? find_member(p, pointer, length)
                        : *p == '[' ? find_element(p, pointer)
                                    : NULL;
                p = found ? found : p;
                pointer += length;
        }
        *ret_begin = (size_t) (p - text);
        *ret_end = (size_t) (skip_value(p) - text);
        return found;
}

/* The first key at or below *p that its object has twice; NULL: none, or memory ran out. *p is then
 * behind the value. */
static const char *find_twice(const char **p) {
        _cleanup_json_ json_object *names = json_object_new_object();
        bool is_object;

        *p = skip_space(*p);
        if (**p != '{' && **p != '[') {
                *p = skip_value(*p);
                return NULL;
        }
        is_object = **p == '{';
        *p = skip_space(*p + 1);
        while (**p != '}' && **p != ']' && **p != '\0') {
                const char *found;

                if (is_object) {
                        const char *key = *p, *end = skip_string(key);
                        _cleanup_free_ char *name = unquote(key, end);

                        if (!names || !name)
                                return NULL;
                        if (json_object_object_get_ex(names, name, NULL))
                                return key;
                        if (json_object_object_add(names, name, NULL) < 0)
                                return NULL;
                        *p = skip_space(end);
                        *p += **p == ':';
                }
                found = find_twice(p);
                if (found)
                        return found;
                *p = skip_space(*p);
                if (**p == ',')
                        *p = skip_space(*p + 1);
        }
        *p += **p != '\0';
        return NULL;
}

bool json_locate_twice(const char *text, size_t *ret_begin, size_t *ret_end) {
        const char *p = text, *key = find_twice(&p);

        if (!key)
                return false;
        *ret_begin = (size_t) (key - text);
        *ret_end = (size_t) (skip_string(key) - text);
        return true;
}

size_t json_line(const char *text, size_t offset) {
        size_t line = 1;

        for (size_t i = 0; i < offset; i++)
                line += text[i] == '\n';
        return line;
}
