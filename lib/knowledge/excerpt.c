/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/excerpt.h"

#include <stdbool.h>
#include <string.h>

#include "lib/knowledge/block.h"

/* Bytes of so many characters, or fewer where the text ends. */
static size_t prefix_size(const char *text, size_t size, uint64_t characters) {
        size_t at = 0;

        for (; at < size; at++)
                if (((unsigned char) text[at] & 0xc0) != 0x80 && characters-- == 0)
                        break;
        return at;
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Behind its full stop, which in Chinese and Japanese no blank need follow. */
static bool ends_sentence(const char *text, size_t at) {
        static const char *const wide_stops[] = { "\xe3\x80\x82", "\xef\xbc\x81", "\xef\xbc\x9f" };

        if (text[at - 1] == '.' || text[at - 1] == '!' || text[at - 1] == '?')
                return is_blank(text[at]);
        for (size_t i = 0; i < sizeof wide_stops / sizeof wide_stops[0]; i++)
                if (at >= 3 && memcmp(text + at - 3, wide_stops[i], 3) == 0)
                        return true;
        return false;
}

/* The last that ends behind `min` and at `max` at the latest, or 0. */
static size_t last_line_end(
        const char *text, size_t size, size_t min, size_t max, bool of_paragraph) {
        size_t found = 0;

        for (size_t at = 0; at < size;) {
                size_t end = at + line_content_size(text + at, size - at);
                size_t next = at + line_size(text + at, size - at);
                bool blank = line_is_blank(text + at, end - at);
                bool before_blank = next < size &&
                        line_is_blank(text + next, line_content_size(text + next, size - next));

                if (end > max)
                        break;
                if (end > min && !blank && (!of_paragraph || before_blank))
                        found = end;
                at = next;
        }
        return found;
}

size_t excerpt_size(const char *text, size_t size, uint64_t max) {
        size_t most, least, found;

        if (max < EXCERPT_MIN || size == 0)
                return 0;
        most = prefix_size(text, size, max);
        if (most == size)
                most--;
        least = most / 2;

        found = last_line_end(text, size, least, most, true);
        if (found == 0)
                found = last_line_end(text, size, least, most, false);
        for (size_t at = most; found == 0 && at > least; at--)
                if (ends_sentence(text, at))
                        found = at;
        return found;
}
