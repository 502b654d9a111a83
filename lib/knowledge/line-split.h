/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where text inside a block may be cut: what a table row is, and where a sentence ends.
 */

#include <stdbool.h>
#include <stddef.h>

/* The row below a table's head: `| --- | :-: |`, maybe behind the markers of quotes. */
bool is_table_delimiter_row(const char *line, size_t size);

/* How many rows of HTML tables begin and end on the line. */
struct HtmlRows {
        size_t opened;
        size_t closed;
};
struct HtmlRows html_rows(const char *line, size_t size);

/* Bytes of blanks at the start, and of the line without the blanks at its end. */
size_t leading_blanks(const char *line, size_t size);
size_t without_trailing_blanks(const char *line, size_t size);

/* How many bytes of the line's beginning, at most `max` and less than `size`, to cut off: behind
 * the last sentence in the second half, else the last blank there, else a whole character. `max` is
 * at least 8. */
size_t cut_inside_line(const char *line, size_t size, size_t max);
