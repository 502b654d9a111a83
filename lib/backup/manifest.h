/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * SHA256SUMS: one line per file of a snapshot, the format of sha256sum(1), in one canonical form:
 *
 *         HEX  PATH            lower-case hex, two spaces
 *         \HEX  PATH           PATH holds a backslash, newline or carriage return, written as
 *                              \\ \n \r (GNU coreutils 9, src/digest.c)
 *
 * sorted by path bytes, every file but SHA256SUMS itself. It verifies with
 * `sha256sum -c SHA256SUMS` on a machine without AtoCore.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/digest.h"

#define MANIFEST_NAME "SHA256SUMS"
#define METADATA_NAME "backup-metadata.json"

/* Bytes that are read of one: about two million files. */
#define MANIFEST_MAX ((size_t) 256 << 20)

struct ManifestEntry {
        char *path; /* relative to the snapshot */
        char digest[DIGEST_HEX_SIZE];
};

struct Manifest {
        struct ManifestEntry *entries; /* sorted by path */
        size_t n_entries;
        size_t allocated;
};

struct Manifest *manifest_new(void); /* NULL: out of memory */
struct Manifest *manifest_free(struct Manifest *manifest);
DEFINE_POINTER_CLEANUP(struct Manifest *, manifest_free)
#define _cleanup_manifest_ _cleanup_(manifest_freep)

/* Appends; call manifest_sort() before formatting or looking up. -EINVAL for a digest that is not
 * 64 lower-case hex digits, and for a path that is no plain relative one (absolute, an empty, "."
 * or ".." component) or is SHA256SUMS. */
int manifest_add(struct Manifest *manifest, const char *path, const char *digest);
void manifest_sort(struct Manifest *manifest);
const struct ManifestEntry *manifest_find(const struct Manifest *manifest, const char *path);
/* -EINVAL for a manifest that lists nothing, is not sorted or names a path twice. */
int manifest_format(const struct Manifest *manifest, char **ret_text, size_t *ret_size);

/* -EBADMSG for anything that manifest_format() would not have written, byte for byte; *ret_problem
 * says what (static text). */
int manifest_parse(
        const char *text, size_t size, struct Manifest **ret_manifest, const char **ret_problem);
