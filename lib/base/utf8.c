/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/utf8.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

static bool is_continuation(char byte) {
        return ((unsigned char) byte & 0xc0) == 0x80;
}

/* Most text is ASCII for long stretches: eight bytes at a time. */
static size_t skip_ascii(const char *text, size_t size) {
        size_t at = 0;

        for (; size - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
                uint64_t word;
                memcpy(&word, text + at, sizeof word);
                if (word & HIGH_BITS)
                        break;
        }
        while (at < size && (unsigned char) text[at] < 0x80)
                at++;
        return at;
}

size_t utf8_decode(const char *text, size_t size, uint32_t *ret_character) {
        /* The least character that needs as many bytes: below it the form is overlong. */
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        unsigned char first = (unsigned char) text[0];
        uint32_t character;
        size_t length;

        if (first < 0x80) {
                *ret_character = first;
                return 1;
        }
        if (first >= 0xf8 || first < 0xc0)
                return 0;
        length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
        if (length > size)
                return 0;

        character = first & (0x7fu >> length);
        for (size_t i = 1; i < length; i++) {
                if (!is_continuation(text[i]))
                        return 0;
                character = character << 6 | ((unsigned char) text[i] & 0x3f);
        }
        if (character < least[length] || character > 0x10ffff ||
                (character >= 0xd800 && character <= 0xdfff))
                return 0;
        *ret_character = character;
        return length;
}

size_t utf8_encode(uint32_t character, char ret_text[4]) {
        if (character < 0x80) {
                ret_text[0] = (char) character;
                return 1;
        }
        size_t length = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
        for (size_t i = length - 1; i > 0; i--, character >>= 6)
                ret_text[i] = (char) (0x80 | (character & 0x3f));
        ret_text[0] = (char) ((0xf00u >> length) | character);
        return length;
}

size_t utf8_valid_prefix(const char *text, size_t size) {
        size_t at = 0;

        for (;;) {
                at += skip_ascii(text + at, size - at);
                if (at == size)
                        return at;
                uint32_t character;
                size_t length = utf8_decode(text + at, size - at, &character);
                if (length == 0)
                        return at;
                at += length;
        }
}

uint64_t utf8_count(const char *text, size_t size) {
        uint64_t count = 0;

        for (size_t i = 0; i < size; i++)
                count += !is_continuation(text[i]);
        return count;
}
