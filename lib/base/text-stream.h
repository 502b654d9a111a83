/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A stream into memory, for text that is put together piece by piece. As open_memstream(3), but for
 * this: where memory runs out glibc's drops what it has no room for, and neither ferror() nor
 * fclose() tells. A query without its last condition, or a context without its end, is worse than
 * none.
 */

#include <stddef.h>
#include <stdio.h>

/* NULL when memory ran out. fclose() sets *ret_text (the caller frees) and *ret_size, which does
 * not count the NUL behind the text; where anything that was written got lost it returns EOF, and
 * *ret_text is NULL. The results of single writes need not be looked at. It cannot be positioned.
 */
FILE *text_stream_open(char **ret_text, size_t *ret_size);
