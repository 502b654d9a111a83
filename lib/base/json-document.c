/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/json-document.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/json-locate.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"

#define FIELD_SHOWN_MAX 200 /* bytes of its name in a message */

DEFINE_POINTER_CLEANUP(json_tokener *, json_tokener_free)
#define _cleanup_tokener_ _cleanup_(json_tokener_freep)

static size_t count_fields(json_object *value) {
        size_t n = 0;

        if (json_object_is_type(value, json_type_object)) {
                json_object_object_foreach(value, key, member) {
                        (void) key;
                        n += 1 + count_fields(member);
                }
        } else if (json_object_is_type(value, json_type_array)) {
                for (size_t i = 0; i < json_object_array_length(value); i++)
                        n += count_fields(json_object_array_get_idx(value, i));
        }
        return n;
}

/* Over text that json-c took: counts the colons outside strings, as many as there are fields, and
 * stops at what json-c takes although it is no JSON. Returns how far it came. */
static size_t scan(const char *text, size_t size, size_t *ret_colons) {
        bool in_string = false;
        size_t colons = 0, i;

        for (i = 0; i < size; i++) {
                if (text[i] == '"')
                        in_string = !in_string;
                else if (in_string && text[i] == '\\')
                        i++;
                else if (in_string && (unsigned char) text[i] < ' ')
                        break;
                else if (!in_string && strchr("'NI", text[i])) /* 'quotes', NaN, Infinity */
                        break;
                else if (!in_string && text[i] == '.' && !isdigit((unsigned char) text[i + 1]))
                        break;
                else if (!in_string && text[i] == ':')
                        colons++;
        }
        *ret_colons = colons;
        return i;
}

/* The next number, with its sign, in text that may be no JSON; NULL: there is none. */
static char *next_number(const char *p, size_t *ret_length) {
        for (; *p != '\0'; p++) {
                if (isdigit((unsigned char) *p) || (*p == '-' && isdigit((unsigned char) p[1]))) {
                        *ret_length = 1 + strspn(p + 1, "0123456789.eE+-");
                        return (char *) p;
                }
                if (*p != '"')
                        continue;
                for (p++; *p != '"' && *p != '\0'; p++)
                        if (*p == '\\' && p[1] != '\0')
                                p++;
                if (*p == '\0')
                        break;
        }
        return NULL;
}

/* Of an integer beyond 64 bits, the nearest that 64 bits hold; NULL: it is none. */
static const char *nearest(const char *number, size_t length) {
        const char *limit = *number == '-' ? "-9223372036854775808" : "18446744073709551615";
        const char *digits = number + (*number == '-');

        if (*digits == '0' || digits + strspn(digits, "0123456789") != number + length ||
                length < strlen(limit) ||
                (length == strlen(limit) && strncmp(number, limit, length) <= 0))
                return NULL;
        return limit;
}

/* json-c keeps the text of a number with a fraction or an exponent, and prints an integer anew from
 * its 64 bits. Where that would be another one it keeps the text here too, so that it goes out as
 * it came in. In the order of the text, which is that of the members as long as none is there
 * twice. */
static int keep_integers(json_object *value, const char **text) {
        enum json_type type = json_object_get_type(value);
        const char *number;
        size_t length;
        int r = 0;

        if (type == json_type_object) {
                json_object_object_foreach(value, key, member) {
                        (void) key;
                        r = r < 0 ? r : keep_integers(member, text);
                }
        } else if (type == json_type_array) {
                for (size_t i = 0; r >= 0 && i < json_object_array_length(value); i++)
                        r = keep_integers(json_object_array_get_idx(value, i), text);
        } else if (type == json_type_int || type == json_type_double) {
                number = next_number(*text, &length);
                if (!number)
                        return -EBADMSG;
                *text = number + length;
                if (nearest(number, length) || (length == 2 && strncmp(number, "-0", 2) == 0)) {
                        char *kept = strndup(number, length);

                        if (!kept)
                                return -ENOMEM;
                        json_object_set_serializer(value, json_object_userdata_to_json_string, kept,
                                json_object_free_userdata);
                }
        }
        return r;
}

static int problem(char **ret_problem, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
static int problem(char **ret_problem, const char *format, ...) {
        char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        int r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0)
                return -ENOMEM;
        *ret_problem = text;
        return -EBADMSG;
}

/* Which field it is, and where it is the second time. */
static int given_twice(const char *text, char **ret_problem) {
        _cleanup_free_ char *key = NULL, *shown = NULL;
        size_t begin, end;

        if (!json_locate_twice(text, &begin, &end))
                return problem(ret_problem, "a field is given twice in one object");
        key = strndup(text + begin + 1, end - begin - 2);
        shown = key ? text_escape(key) : NULL;
        if (!shown)
                return -ENOMEM;
        return problem(ret_problem, "line %zu: the field \"%.*s\" is given twice in one object",
                json_line(text, begin),
                (int) utf8_valid_prefix(shown, strnlen(shown, FIELD_SHOWN_MAX)), shown);
}

char *json_document_mask(const char *text, size_t size) {
        char *masked = malloc(size + 1);
        size_t length;

        for (size_t i = 0; masked && i <= size; i++)
                masked[i] = (unsigned char) text[i] < 0x80 ? text[i] : 'x';
        for (char *number = masked; number && (number = next_number(number, &length));
                number += length) {
                const char *limit = nearest(number, length);

                if (!limit)
                        continue;
                memset(number, ' ', length); /* the place of everything else stays */
                memcpy(number, limit, strlen(limit));
        }
        return masked;
}

int json_document_parse(
        const char *text, size_t size, int depth, json_object **ret_document, char **ret_problem) {
        _cleanup_tokener_ json_tokener *tokener = NULL;
        _cleanup_json_ json_object *document = NULL;
        _cleanup_free_ char *masked = NULL;

        if (size >= INT_MAX)
                return problem(ret_problem, "it is too large");
        const char *nul = memchr(text, '\0', size);
        if (nul)
                return problem(ret_problem, "line %zu: a NUL byte",
                        json_line(text, (size_t) (nul - text)));
        size_t valid = utf8_valid_prefix(text, size);
        if (valid != size)
                return problem(ret_problem, "line %zu: not UTF-8", json_line(text, valid));

        tokener = json_tokener_new_ex(depth);
        masked = json_document_mask(text, size);
        if (!tokener || !masked)
                return -ENOMEM;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);

        /* With the NUL behind the text, by which the parser knows that there is no more. */
        document = json_tokener_parse_ex(tokener, masked, (int) size + 1);
        enum json_tokener_error error = json_tokener_get_error(tokener);
        size_t end = json_tokener_get_parse_end(tokener);
        if (end > size)
                end = size;
        if (error == json_tokener_continue || error == json_tokener_error_parse_eof)
                return problem(ret_problem, "line %zu: it ends too early", json_line(text, size));
        if (error != json_tokener_success)
                return problem(ret_problem, "line %zu: %s", json_line(text, end),
                        json_tokener_error_desc(error));

        size_t rest = end + strspn(text + end, " \t\r\n");
        if (rest != size)
                return problem(ret_problem, "line %zu: more behind its end", json_line(text, rest));

        (void) json_object_put(STEAL(document));
        json_tokener_reset(tokener);
        json_tokener_set_flags(tokener, JSON_TOKENER_ALLOW_TRAILING_CHARS);
        for (size_t i = 0; i < size; i++)
                if ((unsigned char) text[i] >= 0x80)
                        masked[i] = text[i];
        document = json_tokener_parse_ex(tokener, masked, (int) size + 1);
        if (json_tokener_get_error(tokener) != json_tokener_success)
                return -ENOMEM; /* its grammar is right */

        size_t colons;
        size_t strict = scan(text, size, &colons);
        if (strict != size)
                return problem(
                        ret_problem, "line %zu: unexpected character", json_line(text, strict));
        if (count_fields(document) != colons)
                return given_twice(text, ret_problem);
        if (keep_integers(document, &text) < 0)
                return -ENOMEM;

        *ret_document = STEAL(document);
        return 0;
}
