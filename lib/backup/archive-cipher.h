/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Archives that are encrypted: <stamp>.tar.zst.age by age(1), <stamp>.tar.zst.gpg by gpg(1). The
 * programs run beside us and are given what they need by descriptor, so that plain text never
 * reaches the disk. Not by libarchive's program filters: these take a command line apart, lose what
 * the program says of a wrong key, and the errno of a full disk.
 *
 * gpg gets a home of its own below $TMPDIR, or /tmp where that is not set or too long for the
 * socket of gpg-agent, with the one key that it needs in it. It is removed, and its agent ended, by
 * archive_cipher_free(). A run that is killed leaves it behind, 0700; that of a unit goes with its
 * private /tmp.
 *
 * All fail with ARCHIVE_KEY_FAILED when the program is not there, or the key is missing or the
 * wrong one; and with READ_FAILED, PERMISSION_DENIED, WRITE_FAILED, INTERRUPTED, OUT_OF_MEMORY.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/operation.h"

struct ArchiveCipher;

/* Of a file: ".age", ".gpg", or "" when it is not encrypted. Points into the name. */
const char *archive_cipher_suffix(const char *name);
/* Of those that are made, as archive_encrypt= says. */
const char *archive_cipher_suffix_of_new(const struct Config *config);

/* What is written to it goes, encrypted to the recipient of archive_encrypt=, to the descriptor
 * `output`. 0 with *ret_cipher NULL: nothing is to be encrypted. */
int archive_cipher_encrypt(const struct Operation *operation, int output,
        struct ArchiveCipher **ret_cipher, struct Failure *failure);
/* -EPIPE without a failure: it takes no more; archive_cipher_end() tells why. */
int archive_cipher_write(
        struct ArchiveCipher *cipher, const void *data, size_t size, struct Failure *failure);
/* All is written when this returns. -EBADMSG without a failure: the program failed, because of its
 * key or of its output; see archive_cipher_blame_key(). */
int archive_cipher_end(struct ArchiveCipher *cipher, struct Failure *failure);
/* It was not the output. */
int archive_cipher_blame_key(const struct ArchiveCipher *cipher, struct Failure *failure);

/* What is read from it is the archive `path`, open as `input`, decrypted. `identity` is the file
 * with the key; NULL: the credential archive-identity. 0 with *ret_cipher NULL: its name says that
 * it is not encrypted. */
int archive_cipher_decrypt(const struct Operation *operation, const char *path, int input,
        const char *identity, struct ArchiveCipher **ret_cipher, struct Failure *failure);
/* 0 at its end, which was reached without a fault. -EBADMSG without a failure: what is encrypted is
 * damaged; archive_cipher_words() says how. */
ssize_t archive_cipher_read(
        struct ArchiveCipher *cipher, void *buffer, size_t size, struct Failure *failure);

/* What the program says of why it failed, on one line. */
const char *archive_cipher_words(const struct ArchiveCipher *cipher);

/* Ends the program when it still runs. */
struct ArchiveCipher *archive_cipher_free(struct ArchiveCipher *cipher);
DEFINE_POINTER_CLEANUP(struct ArchiveCipher *, archive_cipher_free)
#define _cleanup_archive_cipher_ _cleanup_(archive_cipher_freep)
