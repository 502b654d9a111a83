/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A snapshot that comes as a tar stream from somewhere that is not trusted: plain files and
 * directories under plain relative names, each once, and nothing else. Each file is hashed on the
 * way; what came is told in the form of SHA256SUMS, so that comparing it with SHA256SUMS itself
 * proves every byte of every file.
 */

#include <sys/types.h>

#include "lib/backup/manifest.h"
#include "lib/base/operation.h"

struct TarSource {
        /* Up to `size` bytes, 0 at the end; -errno with `failure` set. */
        ssize_t (*read)(void *userdata, void *buffer, size_t size, struct Failure *failure);
        void *userdata;
        const char *what; /* "Verifying, bytes", for the progress */
        uint64_t total;   /* bytes that are expected, for the progress; 0: unknown */
};

struct TarContents {
        char *text; /* what came but for SHA256SUMS, as manifest_format() writes it */
        size_t size;
        char seal[DIGEST_HEX_SIZE]; /* digest of the SHA256SUMS that came, or "" */
        uint64_t bytes;             /* of all files */
        uint64_t files;
};

/* Reads to the end. `directory` -1: nothing is written; else what comes is put below that
 * directory, which is empty and nobody else's, with modes of ours; not synced.
 *
 * -EBADMSG without a failure: the stream is no such tree, *ret_problem (the caller frees) says why.
 * Failures are those of `source`, NO_SPACE and its like, INTERRUPTED, OUT_OF_MEMORY. */
int tar_stream_read(const struct Operation *operation, const struct TarSource *source,
        int directory, struct TarContents *ret_contents, char **ret_problem,
        struct Failure *failure);
void tar_contents_clear(struct TarContents *contents);
#define _cleanup_tar_contents_ _cleanup_(tar_contents_clear)
