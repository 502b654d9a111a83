/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The copy of the vector store into a snapshot. The caller holds the ingestion lock.
 *
 * Each file by the cheapest way that the file system takes: clone; hard link to the previous
 * snapshot's file of the same digest; copy. Every *.sqlite3 by SQLite's own means, last. A file
 * that changes while it is being copied is taken again. Links, sockets and pipes are reported, not
 * followed.
 */

#include <stdint.h>

#include "lib/backup/manifest.h"
#include "lib/base/json-document.h"
#include "lib/base/operation.h"

struct VectorStoreCopy {
        uint64_t files;
        uint64_t bytes;
        uint64_t bytes_written; /* neither cloned nor linked */
};

/* Copies layout->chroma to `target_fd`/chroma (made here), adds every file to the manifest and what
 * is worth knowing to `warnings`. `previous` is the path of the snapshot to link to, or NULL. */
int vector_store_copy(const struct Operation *operation, int target_fd, const char *target_path,
        const char *previous, struct Manifest *manifest, json_object *warnings,
        struct VectorStoreCopy *ret_copy, struct Failure *failure);
