/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Text without markup → blocks: paragraphs are what blank lines separate.
 */

#include "lib/knowledge/block.h"

/* The blocks at the start of `text`, up to about `window` bytes of it, into the empty `blocks`;
 * *ret_used tells where to go on. With `fences` a fenced code block is one block, closed or not,
 * wherever the window ends: for Markdown of which nothing else could be told. -ENOMEM. */
int plain_text_blocks(const char *text, size_t size, size_t window, bool fences,
        struct BlockList *blocks, size_t *ret_used);
