/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/registry-copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/backup/metadata.h"
#include "lib/base/file-io.h"

#define REGISTRY_ATTEMPTS 5
#define REGISTRY_PAUSE_MS 100

/* -EBADMSG without a failure: there is one, and it does not parse. */
static int read_registry(const struct Operation *operation, char **ret_text, size_t *ret_size,
        struct Failure *failure) {
        const char *path = operation->layout->registry;
        const struct timespec pause = { .tv_nsec = REGISTRY_PAUSE_MS * 1000000L };

        for (unsigned attempt = 1;; attempt++) {
                _cleanup_free_ char *text = NULL;
                size_t size;
                int r;

                r = read_file_at(AT_FDCWD, path, REGISTRY_MAX, &text, &size);
                if (r == -ENOMEM)
                        return failure_out_of_memory(failure);
                if (r == -ENOENT)
                        return r;
                if (r >= 0 && json_text_is_valid(text, size)) {
                        *ret_text = STEAL(text);
                        *ret_size = size;
                        return 0;
                }
                if (attempt == REGISTRY_ATTEMPTS)
                        return -EBADMSG;
                r = operation_check(operation, failure);
                if (r < 0)
                        return r;
                (void) nanosleep(&pause, NULL);
        }
}

int registry_copy(const struct Operation *operation, int target_fd, const char *target_path,
        struct Manifest *manifest, json_object *warnings, bool *ret_copied, uint64_t *ret_bytes,
        struct Failure *failure) {
        const char *path = operation->layout->registry;
        _cleanup_free_ char *text = NULL;
        char digest[DIGEST_HEX_SIZE];
        size_t size = 0;
        int r;

        *ret_copied = false;
        *ret_bytes = 0;
        r = read_registry(operation, &text, &size, failure);
        if (r == -ENOENT)
                return 0;
        if (r == -EBADMSG)
                return metadata_warn(operation, warnings, path, failure,
                        "The project registry cannot be read as JSON and is not in this snapshot; "
                        "repair config/project-registry.json and take another backup");
        if (r < 0)
                return r;
        if (mkdirat(target_fd, "config", DIRECTORY_MODE) < 0)
                return failure_set_write_at(failure, errno, target_path, "config", "create");
        r = write_new_file_at(target_fd, SNAPSHOT_REGISTRY, text, size);
        if (r < 0)
                return failure_set_write_at(failure, -r, target_path, SNAPSHOT_REGISTRY, "write");
        if (digest_buffer(text, size, digest) < 0 ||
                manifest_add(manifest, SNAPSHOT_REGISTRY, digest) < 0)
                return failure_out_of_memory(failure);
        *ret_copied = true;
        *ret_bytes = size;
        return 0;
}
