/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A small file that people edit by hand and a program changes, too: it is replaced only as long as
 * it is what the program read, and stays whose it was.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"

struct FileText {
        char *text;         /* with a NUL behind it; NULL: there was no file */
        size_t size;        /* bytes, without the NUL */
        struct stat status; /* whose it is, and its mode */
};

/* As read_file_at(); a symlink is not followed (-ELOOP): replacing would put a file in its place.
 * Where there is no file that is what is read: 0. */
int file_text_read(const char *path, size_t max, struct FileText *ret_read);
void file_text_clear(struct FileText *read);
#define _cleanup_file_text_ _cleanup_(file_text_clear)

/* Puts a copy of what was read at `path`, atomically, with its owner, group and mode.
 * *ret_kept is false where owner or group could not be kept, which is for root only. */
int file_text_copy(const struct FileText *read, const char *path, bool *ret_kept);

/* Replaces what was read from `path`, or the absence of it, atomically; on disk when it returns.
 * -ESTALE when something else is there by now; that is left alone, as what was read is on each
 * other failure but that of the last sync, which leaves the new one: power may still take it back.
 */
int file_text_replace(const struct FileText *read, const char *path, const void *data, size_t size,
        bool *ret_kept);
