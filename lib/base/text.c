/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/utf8.h"

static bool is_printable(uint32_t point) {
        if (point < 0x20 || (point >= 0x7f && point < 0xa0))
                return false;
        /* Line and paragraph separator; embeddings, overrides and isolates (Unicode, UAX #9). */
        return !(point >= 0x2028 && point <= 0x202e) && !(point >= 0x2066 && point <= 0x2069);
}

/* Bytes at `text` that can be shown as they are: one character, or 0. */
static size_t printable_length(const char *text) {
        uint32_t point;
        size_t length = utf8_decode(text, strnlen(text, 4), &point);

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
