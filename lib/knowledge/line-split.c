/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/line-split.h"

#include <string.h>
#include <strings.h>

#define IDEOGRAPHIC_FULL_STOP "\xe3\x80\x82"

bool is_table_delimiter_row(const char *line, size_t size) {
        bool pipe = false, dash = false;
        size_t i = 0;

        while (i < size && (line[i] == '>' || line[i] == ' ' || line[i] == '\t'))
                i++;
        for (; i < size; i++) {
                if (line[i] == '|')
                        pipe = true;
                else if (line[i] == '-')
                        dash = true;
                else if (line[i] != ':' && line[i] != ' ' && line[i] != '\t')
                        return false;
        }
        return pipe && dash;
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

static size_t count_tag(const char *line, size_t size, const char *tag) {
        size_t length = strlen(tag), n = 0;

        for (size_t i = 0; i + length <= size; i++) {
                if (line[i] != '<' || strncasecmp(line + i, tag, length) != 0)
                        continue;
                if (i + length == size || is_blank(line[i + length]) || line[i + length] == '>')
                        n++;
        }
        return n;
}

struct HtmlRows html_rows(const char *line, size_t size) {
        return (struct HtmlRows){
                .opened = count_tag(line, size, "<tr"),
                .closed = count_tag(line, size, "</tr"),
        };
}

size_t leading_blanks(const char *line, size_t size) {
        size_t n = 0;

        while (n < size && is_blank(line[n]))
                n++;
        return n;
}

size_t without_trailing_blanks(const char *line, size_t size) {
        while (size > 0 && is_blank(line[size - 1]))
                size--;
        return size;
}

static bool ends_sentence(const char *line, size_t at) {
        if (at >= 2 && is_blank(line[at - 1]) && strchr(".!?", line[at - 2]))
                return true;
        return at >= 3 && memcmp(line + at - 3, IDEOGRAPHIC_FULL_STOP, 3) == 0;
}

size_t cut_inside_line(const char *line, size_t size, size_t max) {
        size_t whole = max;

        for (size_t at = max; at > max / 2; at--)
                if (ends_sentence(line, at))
                        return at;
        for (size_t at = max; at > max / 2; at--)
                if (is_blank(line[at - 1]))
                        return at;
        while (whole > 1 && whole < size && ((unsigned char) line[whole] & 0xc0) == 0x80)
                whole--;
        return whole;
}
