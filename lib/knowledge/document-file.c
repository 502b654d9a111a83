/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/document-file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/file-io.h"
#include "lib/base/utf8.h"

static int set_problem(struct DocumentFile *file, bool unknown, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static int set_problem(struct DocumentFile *file, bool unknown, const char *format, ...) {
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&file->problem, format, arguments);
        va_end(arguments);
        if (r < 0) {
                file->problem = NULL;
                return -ENOMEM;
        }
        file->unknown = unknown;
        return 0;
}

static int check_content(struct DocumentFile *file) {
        size_t valid;

        if (memchr(file->text, '\0', file->size))
                return set_problem(file, false, "is binary: it holds a NUL byte");
        valid = utf8_valid_prefix(file->text, file->size);
        if (valid < file->size)
                return set_problem(file, false, "is not valid UTF-8 (at byte %zu)", valid + 1);
        return 0;
}

/* Comes first: what is written from then on changes what the next look is compared with. */
static int take_evidence(int fd, struct DocumentFile *file, struct stat *ret_status) {
        struct timespec now;

        if (clock_gettime(CLOCK_REALTIME, &now) < 0)
                return -errno;
        if (fstat(fd, ret_status) < 0)
                return set_problem(file, true, "cannot be looked at: %m");
        file->evidence = evidence_of(ret_status, &now);
        return 0;
}

static int read_document(int fd, struct DocumentFile *file) {
        struct stat status;
        int r;

        r = take_evidence(fd, file, &status);
        if (r < 0 || file->problem)
                return r;
        r = read_fd(fd, DOCUMENT_FILE_MAX, &file->text, &file->size);
        switch (r) {
        case 0:
                break;
        case -ENOMEM:
                return r;
        case -EFBIG:
                return set_problem(file, false, "is larger than %u MiB", DOCUMENT_FILE_MAX >> 20);
        case -EINVAL:
        case -EISDIR:
                return set_problem(file, false, "is not a regular file");
        default:
                errno = -r;
                return set_problem(file, true, "cannot be read: %m");
        }
        r = check_content(file);
        if (r < 0 || file->problem)
                return r;
        return digest_buffer(file->text, file->size, file->digest);
}

static int examine_document(int fd, struct DocumentFile *file) {
        struct stat status;
        int r;

        r = take_evidence(fd, file, &status);
        if (r < 0 || file->problem)
                return r;
        if (!S_ISREG(status.st_mode))
                return set_problem(file, false, "is not a regular file");
        if (status.st_size > DOCUMENT_SOURCE_MAX)
                return set_problem(file, false, "is larger than %u MiB", DOCUMENT_SOURCE_MAX >> 20);
        r = digest_fd(fd, file->digest, NULL);
        if (r == -ENOMEM || r == -ENOTSUP)
                return r;
        if (r < 0) {
                errno = -r;
                return set_problem(file, true, "cannot be read: %m");
        }
        return 0;
}

static int new_file(
        int fd, int (*fill)(int fd, struct DocumentFile *file), struct DocumentFile **ret_file) {
        _cleanup_document_file_ struct DocumentFile *file = calloc(1, sizeof *file);
        int r;

        if (!file)
                return -ENOMEM;
        r = fill(fd, file);
        if (r < 0)
                return r;
        *ret_file = STEAL(file);
        return 0;
}

int document_file_read(int fd, struct DocumentFile **ret_file) {
        return new_file(fd, read_document, ret_file);
}

int document_file_examine(int fd, struct DocumentFile **ret_file) {
        return new_file(fd, examine_document, ret_file);
}

struct DocumentFile *document_file_free(struct DocumentFile *file) {
        if (!file)
                return NULL;
        free(file->text);
        free(file->problem);
        free(file);
        return NULL;
}
