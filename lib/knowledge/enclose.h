/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Text of a file in a Markdown document of ours, as written. Text that would run on into what
 * follows it (a code fence or an HTML block that it leaves open), or that holds a heading which
 * reads like one of ours, is put into a code block with a fence that it cannot close. Text that is
 * fine stays bare; in doubt there is a fence.
 */

#include <stddef.h>
#include <stdio.h>

/* Ends with a newline. `ours` are the beginnings of the texts of our own headings, NULL-terminated.
 */
void enclose_write(FILE *document, const char *text, size_t size, const char *const ours[]);
