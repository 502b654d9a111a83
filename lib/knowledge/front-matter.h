/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Front matter: YAML between a line `---`, the first of the file, and a line `---` or `...`. Read
 * are title, tags and aliases (tag and alias mean the same, in any case); tags and aliases may be a
 * list, with lists in it, or one string with commas (tags: or blanks) between them, tags may begin
 * with #. YAML aliases are never expanded.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/cleanup.h"

#define FRONT_MATTER_MAX (64u << 10) /* bytes */

struct FrontMatter {
        char *title;    /* NULL when there is none; a label (label.h), as are all below */
        char **tags;    /* NULL-terminated, never NULL */
        char **aliases; /* NULL-terminated, never NULL */
        char *error;    /* why it could not be read, or NULL; all that was not is not above */
        bool says_more; /* than is above: it has other keys with values, or what is too long */
};

/* Bytes that the front matter at the start of `text` takes, its fences included; 0: there is none,
 * as the opening or the closing line is missing. */
size_t front_matter_size(const char *text, size_t size);

/* `text` is front matter with its fences, as front_matter_size() measured it; size 0: none. More
 * than FRONT_MATTER_MAX is an error like any other in it. -ENOMEM is the only failure. */
int front_matter_read(const char *text, size_t size, struct FrontMatter **ret_front_matter);
struct FrontMatter *front_matter_free(struct FrontMatter *front_matter);
DEFINE_POINTER_CLEANUP(struct FrontMatter *, front_matter_free)
#define _cleanup_front_matter_ _cleanup_(front_matter_freep)
