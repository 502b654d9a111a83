/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/seal.h"

#include <errno.h>
#include <string.h>

#include "lib/base/file-io.h"

int seal_snapshot(const struct Staging *staging, struct Manifest *manifest,
        const struct Metadata *metadata, const struct CheckReport *report,
        json_object **ret_metadata, struct Failure *failure) {
        _cleanup_json_ json_object *object = NULL;
        _cleanup_free_ char *text = NULL, *sums = NULL;
        const struct ManifestEntry *entry;
        char digest[DIGEST_HEX_SIZE];
        size_t size;
        int r;

        object = metadata_new(metadata, report);
        if (!object ||
                asprintf(&text, "%s\n",
                        json_object_to_json_string_ext(object,
                                JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                        JSON_C_TO_STRING_NOSLASHESCAPE)) < 0) {
                text = NULL;
                return failure_out_of_memory(failure);
        }
        if (digest_buffer(text, strlen(text), digest) < 0)
                return failure_out_of_memory(failure);
        manifest_sort(manifest);
        entry = manifest_find(manifest, METADATA_NAME);
        if (entry) /* sealed before, under another stamp */
                memcpy(manifest->entries[entry - manifest->entries].digest, digest, sizeof digest);
        else if (manifest_add(manifest, METADATA_NAME, digest) < 0)
                return failure_out_of_memory(failure);
        manifest_sort(manifest);
        if (manifest_format(manifest, &sums, &size) < 0)
                return failure_out_of_memory(failure);

        r = write_new_file_at(staging->fd, METADATA_NAME, text, strlen(text));
        if (r < 0)
                return failure_set_write_at(failure, -r, staging->path, METADATA_NAME, "write");
        r = write_new_file_at(staging->fd, MANIFEST_NAME, sums, size);
        if (r < 0)
                return failure_set_write_at(failure, -r, staging->path, MANIFEST_NAME, "write");
        *ret_metadata = STEAL(object);
        return 0;
}

/* Power gone in between: a staging directory still, which goes with the next run. */
int unseal_snapshot(const struct Staging *staging, struct Failure *failure) {
        if (unlinkat(staging->fd, METADATA_NAME, 0) < 0 ||
                unlinkat(staging->fd, MANIFEST_NAME, 0) < 0)
                return failure_set_write(failure, errno, staging->path, "remove a file in");
        return 0;
}
