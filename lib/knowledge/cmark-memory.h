/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Bounded memory for libcmark, which ends the process where its own allocator fails. Everything
 * taken inside cmark_memory_run() is freed when that returns; where the bound or the machine's
 * memory is reached, cmark is left by a jump and the caller told.
 */

#include <cmark.h>

/* Calls `body`, which uses `memory` for all that it asks of cmark and holds nothing of its own that
 * would be lost when cmark does not return. Returns what `body` returned; -E2BIG past `max` bytes;
 * -ENOMEM. Not for nesting. */
int cmark_memory_run(size_t max, int (*body)(cmark_mem *memory, void *userdata), void *userdata);
