/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * UTF-8 (RFC 3629): no surrogates, no overlong forms, nothing above U+10FFFF. NUL is a character
 * like any other. Sizes are bytes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the longest prefix that is whole characters: `size` when all of it is valid, else
 * the offset of the first byte that is not. */
size_t utf8_valid_prefix(const char *text, size_t size);

static inline bool utf8_is_valid(const char *text, size_t size) {
        return utf8_valid_prefix(text, size) == size;
}

/* Unicode characters (code points) in valid UTF-8. */
uint64_t utf8_count(const char *text, size_t size);

/* The character at the start of `text`, whose size must not be 0. Returns the bytes it takes; 0
 * when what stands there is no character. */
size_t utf8_decode(const char *text, size_t size, uint32_t *ret_character);

/* Writes the character, a valid one, without a NUL. Returns the bytes it took, at most 4. */
size_t utf8_encode(uint32_t character, char ret_text[4]);
