/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Text of unknown origin (names of files, prompts) made fit for a line that people read.
 */

#include <stdbool.h>

/* Valid UTF-8 without control characters (C0, DEL, C1) and without the characters that change the
 * direction of what follows: it stands on one line and does nothing to a terminal. */
bool text_is_printable(const char *text);

/* A copy in which every byte that keeps it from being printable reads \n, \t or \xHH (the caller
 * frees). NULL when memory ran out. It is for the eye: a backslash stays a backslash. */
char *text_escape(const char *text);
