/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where a text may end before its end. Pure.
 */

#include <stddef.h>
#include <stdint.h>

/* Unicode characters: room for less is better left than filled. */
#define EXCERPT_MIN 200

/* How many bytes of the text's beginning, less than all and at most `max` characters: up to the end
 * of the last paragraph in their second half, else of the last line there, else of the last
 * sentence; without the line end. 0 when there is none, or `max` is below EXCERPT_MIN. `text` is
 * valid UTF-8. */
size_t excerpt_size(const char *text, size_t size, uint64_t max);
