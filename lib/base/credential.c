/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/credential.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/base/file-io.h"

#define TOKEN_MAX 4096

char *credential_free(char *secret) {
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
        return NULL;
}

int credential_load_token(const char *name, char **ret_token, struct Failure *failure) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        _cleanup_credential_ char *token = NULL;
        _cleanup_free_ char *path = NULL;
        size_t size;
        int r;

        if (!directory) {
                *ret_token = NULL;
                return 0;
        }
        if (asprintf(&path, "%s/%s", directory, name) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        r = read_file_at(AT_FDCWD, path, TOKEN_MAX, &token, &size);
        if (r == -ENOENT) {
                *ret_token = NULL;
                return 0;
        }
        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        if (r < 0)
                return failure_set(failure, EVENT_CONFIG_INVALID, -r, path,
                        "Cannot read the credential %s: %m; a token is one line of text", name);

        if (size > 0 && token[size - 1] == '\n')
                token[--size] = '\0';
        if (size == 0)
                return failure_set(failure, EVENT_CONFIG_INVALID, EINVAL, path,
                        "The credential %s is empty; put a token into it, or remove it", name);
        for (size_t i = 0; i < size; i++)
                if (token[i] <= ' ' || token[i] > '~')
                        return failure_set(failure, EVENT_CONFIG_INVALID, EINVAL, path,
                                "The credential %s has a character that no header can carry; use "
                                "letters, digits and punctuation, without spaces",
                                name);
        *ret_token = STEAL(token);
        return 0;
}
