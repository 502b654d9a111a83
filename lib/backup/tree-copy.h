/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Copies a file, or a directory and all below it, out of something laid out like a snapshot, and
 * compares what was written with the checksums on the way.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/backup/manifest.h"
#include "lib/base/operation.h"

struct TreeCopy {
        const struct Operation *operation;
        const char *source; /* absolute; what paths are relative to */
        /* Each file must be in it, with this digest, and all that it lists must be there; NULL:
         * there is none to go by. */
        const struct Manifest *manifest;
        bool later;        /* what is made is written to disk by the caller */
        bool links;        /* links are copied as what they are; else they are an error */
        const char *doing; /* for the progress: "Copying, bytes" */
        uint64_t total;
        uint64_t done;   /* bytes so far */
        uint64_t cloned; /* those of them whose blocks are those of the source */
};

/* `path` below the source to the new `target` (absolute). What is made gets owner and mode of what
 * has the same place below `like` (absolute, maybe absent), else ours. All of it is on disk when
 * this returns (but where that is for `later`), but for the name of `target` itself. On failure a
 * part of it may be left.
 *
 * SNAPSHOT_INVALID (-EBADMSG): it is not what the checksums say. READ_FAILED, NO_SPACE,
 * WRITE_FAILED, IO_ERROR, INTERRUPTED, OUT_OF_MEMORY. What is no file, directory or link is left
 * out with a RESTORE_WARNING. */
int tree_copy(struct TreeCopy *copy, const char *path, const char *target, const char *like,
        struct Failure *failure);

/* Gives what is at `path` (absolute), and all below it, owner and mode of what has the same place
 * below `like`; on disk when it returns. It must hold files and directories only. */
int tree_adopt(const struct Operation *operation, const char *path, const char *like,
        struct Failure *failure);

/* Bytes of all regular files at and below `path`; what cannot be looked at counts nothing. */
uint64_t tree_size(const char *path);
