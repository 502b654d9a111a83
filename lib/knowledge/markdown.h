/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Markdown (CommonMark, by libcmark) → blocks. A document is parsed in windows, so that memory does
 * not grow with it: a window ends where a block at the top level, or an item of a list there,
 * starts, and from such a line on CommonMark does not look back. (Link definitions are the
 * exception; they matter to the text of headings only, and count within their window.)
 */

#include "lib/knowledge/block.h"

#define MARKDOWN_WINDOW (64u << 10)

/* The blocks at the start of `text`, valid UTF-8, into the empty `blocks`; *ret_used tells where to
 * go on. `window` is the number of bytes tried first; a single block that is larger takes more.
 * A block so large or so wild that its structure does not fit into 24 MiB is read as plain text
 * with code fences. -ENOMEM. */
int markdown_blocks(
        const char *text, size_t size, size_t window, struct BlockList *blocks, size_t *ret_used);
