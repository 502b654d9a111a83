/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What was said of which file, by a program that looks at the same files again and again: said once
 * for each change, and not at each look.
 */

#include <stdbool.h>
#include <stddef.h>

struct TellingOf {
        char *path;
        char *message;
        bool met; /* since told_begin() */
};

/* Zeroed is empty. */
struct Told {
        struct TellingOf *items; /* by path, bytewise */
        size_t n, allocated;
};

/* Whether this has not been said of the path yet; from now on it has. Where memory runs out all is
 * news: rather twice than never. */
bool told_is_news(struct Told *told, const char *path, const char *message);
/* It has changed, with all below it: what holds still is news again. */
void told_forget(struct Told *told, const char *path);

/* Around a look at all there is: what was not said of a path in between holds no longer. */
void told_begin(struct Told *told);
void told_end(struct Told *told);

void told_clear(struct Told *told);
