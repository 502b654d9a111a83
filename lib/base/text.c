/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence (Unicode 15, table 3-7) at `text`, and its code point;
 * 0 when there is none. */
static size_t decode(const unsigned char *text, uint32_t *ret_point) {
        static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
        unsigned char first = text[0];
        size_t length = first < 0x80     ? 1
                : (first & 0xe0) == 0xc0 ? 2
                : (first & 0xf0) == 0xe0 ? 3
                : (first & 0xf8) == 0xf0 ? 4
                                         : 0;
        uint32_t point = length == 1 ? first : first & (0x7fu >> length);

        for (size_t i = 1; i < length; i++) {
                if ((text[i] & 0xc0) != 0x80) /* the final NUL too */
                        return 0;
                point = point << 6 | (text[i] & 0x3fu);
        }
        if (length == 0 || point < smallest[length] || point > 0x10ffff ||
                (point >= 0xd800 && point <= 0xdfff))
                return 0;
        *ret_point = point;
        return length;
}

static bool is_printable(uint32_t point) {
        if (point < 0x20 || (point >= 0x7f && point < 0xa0))
                return false;
        /* Line and paragraph separator; embeddings, overrides and isolates (Unicode, UAX #9). */
        return !(point >= 0x2028 && point <= 0x202e) && !(point >= 0x2066 && point <= 0x2069);
}

/* Bytes at `text` that can be shown as they are: one character, or 0. */
static size_t printable_length(const char *text) {
        uint32_t point;
        size_t length = decode((const unsigned char *) text, &point);

        return length > 0 && is_printable(point) ? length : 0;
}

bool text_is_printable(const char *text) {
        while (*text != '\0') {
                size_t length = printable_length(text);

                if (length == 0)
                        return false;
                text += length;
        }
        return true;
}

static size_t escape_byte(unsigned char byte, char *target) {
        switch (byte) {
        case '\n':
                return (size_t) sprintf(target, "\\n");
        case '\t':
                return (size_t) sprintf(target, "\\t");
        default:
                return (size_t) sprintf(target, "\\x%02x", byte);
        }
}

char *text_escape(const char *text) {
        char *escaped = malloc(strlen(text) * strlen("\\xHH") + 1);
        char *end = escaped;

        if (!escaped)
                return NULL;
        while (*text != '\0') {
                size_t length = printable_length(text);

                if (length > 0) {
                        end = mempcpy(end, text, length);
                        text += length;
                } else
                        end += escape_byte((unsigned char) *text++, end);
        }
        *end = '\0';
        return escaped;
}
