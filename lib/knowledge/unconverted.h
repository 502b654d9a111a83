/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Files that could not be converted, remembered in data/cache/unconverted.json so that one that
 * costs a minute costs it once: it is tried again when it changed (evidence.h), or when the program
 * did. What is lost with the file is only time; one that cannot be read counts as empty.
 */

#include <stdbool.h>

#include "lib/base/failure.h"
#include "lib/base/layout.h"
#include "lib/knowledge/evidence.h"

struct UnconvertedFile {
        struct Evidence evidence;
        const char *converter; /* converters_find() */
        const char *reason;
        bool unknown; /* as in struct ConvertedText */
};

struct Unconverted;

/* -ENOMEM. */
int unconverted_load(const struct Layout *layout, struct Unconverted **ret_unconverted);
struct Unconverted *unconverted_free(struct Unconverted *unconverted);
DEFINE_POINTER_CLEANUP(struct Unconverted *, unconverted_free)
#define _cleanup_unconverted_ _cleanup_(unconverted_freep)

/* Paths are below the storage root: "sources/drive/a.pdf". False: it is not remembered. What is
 * found points into `unconverted`, until it is put anew. */
bool unconverted_find(
        const struct Unconverted *unconverted, const char *path, struct UnconvertedFile *ret_file);
/* -ENOMEM. */
int unconverted_put(
        struct Unconverted *unconverted, const char *path, const struct UnconvertedFile *file);
/* It was met, and what is remembered of it still holds: it outlives unconverted_sweep(). -ENOMEM.
 */
int unconverted_keep(struct Unconverted *unconverted, const char *path);
/* All at and below `path` was walked: forgets what was neither put nor kept. */
void unconverted_sweep(struct Unconverted *unconverted, const char *path);

/* Writes it if it changed. WRITE_FAILED, NO_SPACE, IO_ERROR, OUT_OF_MEMORY. */
int unconverted_save(struct Unconverted *unconverted, struct Failure *failure);
