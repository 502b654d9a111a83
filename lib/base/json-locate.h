/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where a value stands in the text of a JSON document: to name its line to whoever has to correct
 * it, and to replace it without touching what stands around it.
 */

#include <stdbool.h>
#include <stddef.h>

/* `text` is what json_document_parse() took, `pointer` an RFC 6901 pointer of plain names and
 * indices: "/projects/3/ingest_roots/0". The value is text[*ret_begin] up to, and without,
 * text[*ret_end]. False where there is none: they are then of the nearest value above it. */
bool json_locate(const char *text, const char *pointer, size_t *ret_begin, size_t *ret_end);

/* The first key that its object has had before: text[*ret_begin] up to text[*ret_end], with its
 * quotes. False where there is none, or memory ran out. */
bool json_locate_twice(const char *text, size_t *ret_begin, size_t *ret_end);

/* Lines are counted from 1. */
size_t json_line(const char *text, size_t offset);
