/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * SHA-256, as 64 lower-case hex digits, the form of sha256sum(1).
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"

#define DIGEST_HEX_SIZE 65 /* with the terminating NUL */

struct Digest;

int digest_new(struct Digest **ret_digest); /* -ENOMEM, -ENOTSUP */
struct Digest *digest_free(struct Digest *digest);
DEFINE_POINTER_CLEANUP(struct Digest *, digest_free)
#define _cleanup_digest_ _cleanup_(digest_freep)

int digest_update(struct Digest *digest, const void *data, size_t size);
/* All of the file behind `fd`, with pread() from its start; the file offset stays. `ret_size` may
 * be NULL. */
int digest_update_fd(struct Digest *digest, int fd, uint64_t *ret_size);
/* Ends the digest; the object can only be freed afterwards. */
int digest_finish(struct Digest *digest, char ret_hex[DIGEST_HEX_SIZE]);

int digest_buffer(const void *data, size_t size, char ret_hex[DIGEST_HEX_SIZE]);
int digest_fd(int fd, char ret_hex[DIGEST_HEX_SIZE], uint64_t *ret_size);
