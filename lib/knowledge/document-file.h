/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The content of one file, if it is fit to be a document: a regular file of at most
 * DOCUMENT_FILE_MAX bytes of valid UTF-8 without NUL bytes; or of one that is to be converted,
 * which is any bytes that are not too many.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/digest.h"
#include "lib/knowledge/evidence.h"

#define DOCUMENT_FILE_MAX   (16u << 20)  /* bytes */
#define DOCUMENT_SOURCE_MAX (128u << 20) /* of a file to be converted: most may be pictures */

struct DocumentFile {
        char *text; /* not NUL-terminated; NULL until it is converted */
        size_t size;
        char digest[DIGEST_HEX_SIZE];
        struct Evidence evidence;
        /* Why it is no document, and then nothing else is set: "is larger than 16 MiB". */
        char *problem;
        bool unknown; /* it could not be read: what it was before may still be true */
};

/* -ENOMEM, or what SHA-256 failed with; all else is a problem of the file. */
int document_file_read(int fd, struct DocumentFile **ret_file);
/* The same of a file to be converted: it has a digest, and no text. */
int document_file_examine(int fd, struct DocumentFile **ret_file);
struct DocumentFile *document_file_free(struct DocumentFile *file);
DEFINE_POINTER_CLEANUP(struct DocumentFile *, document_file_free)
#define _cleanup_document_file_ _cleanup_(document_file_freep)
