/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/digest.h"

#include <errno.h>
#include <openssl/evp.h>

#include "lib/base/file-io.h"

struct Digest {
        EVP_MD_CTX *context;
};

int digest_new(struct Digest **ret_digest) {
        _cleanup_digest_ struct Digest *digest = calloc(1, sizeof *digest);

        if (!digest)
                return -ENOMEM;
        digest->context = EVP_MD_CTX_new();
        if (!digest->context)
                return -ENOMEM;
        if (EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1)
                return -ENOTSUP;
        *ret_digest = STEAL(digest);
        return 0;
}

struct Digest *digest_free(struct Digest *digest) {
        if (!digest)
                return NULL;
        EVP_MD_CTX_free(digest->context);
        free(digest);
        return NULL;
}

int digest_update(struct Digest *digest, const void *data, size_t size) {
        return EVP_DigestUpdate(digest->context, data, size) == 1 ? 0 : -EIO;
}

int digest_finish(struct Digest *digest, char ret_hex[DIGEST_HEX_SIZE]) {
        static const char digits[] = "0123456789abcdef";
        unsigned char value[EVP_MAX_MD_SIZE];
        unsigned int size = 0;

        if (EVP_DigestFinal_ex(digest->context, value, &size) != 1 ||
                size != (DIGEST_HEX_SIZE - 1) / 2)
                return -EIO;
        for (size_t i = 0; i < size; i++) {
                ret_hex[2 * i] = digits[value[i] >> 4];
                ret_hex[2 * i + 1] = digits[value[i] & 15];
        }
        ret_hex[DIGEST_HEX_SIZE - 1] = '\0';
        return 0;
}

int digest_buffer(const void *data, size_t size, char ret_hex[DIGEST_HEX_SIZE]) {
        _cleanup_digest_ struct Digest *digest = NULL;
        int r;

        r = digest_new(&digest);
        if (r < 0)
                return r;
        r = digest_update(digest, data, size);
        if (r < 0)
                return r;
        return digest_finish(digest, ret_hex);
}

int digest_update_fd(struct Digest *digest, int fd, uint64_t *ret_size) {
        _cleanup_free_ char *buffer = io_buffer_new(IO_BUFFER_SIZE);
        uint64_t total = 0;
        int r;

        if (!buffer)
                return -ENOMEM;
        for (;;) {
                ssize_t n = read_all_at(fd, buffer, IO_BUFFER_SIZE, total);
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        break;
                r = digest_update(digest, buffer, (size_t) n);
                if (r < 0)
                        return r;
                total += (uint64_t) n;
        }
        if (ret_size)
                *ret_size = total;
        return 0;
}

int digest_fd(int fd, char ret_hex[DIGEST_HEX_SIZE], uint64_t *ret_size) {
        _cleanup_digest_ struct Digest *digest = NULL;
        int r;

        r = digest_new(&digest);
        if (r < 0)
                return r;
        r = digest_update_fd(digest, fd, ret_size);
        if (r < 0)
                return r;
        return digest_finish(digest, ret_hex);
}
