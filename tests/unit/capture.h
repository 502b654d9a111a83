/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the code under test writes to a descriptor, stdout or stderr. cmocka reports there too: a
 * test asserts only after capture_end().
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct Capture {
        int fd;
        int saved;
        int memory;
};

static inline struct Capture capture_start(int fd) {
        struct Capture capture = {
                .fd = fd,
                .saved = dup(fd),
                .memory = memfd_create("capture", MFD_CLOEXEC),
        };

        (void) fflush(NULL);
        if (capture.saved < 0 || capture.memory < 0 || dup2(capture.memory, fd) < 0)
                abort();
        return capture;
}

/* The text, which the caller frees. */
static inline char *capture_end(struct Capture *capture) {
        off_t size;
        char *text;

        (void) fflush(NULL);
        size = lseek(capture->memory, 0, SEEK_END);
        text = calloc(1, (size_t) size + 1);
        if (!text || pread(capture->memory, text, (size_t) size, 0) != size ||
                dup2(capture->saved, capture->fd) < 0)
                abort();
        (void) close(capture->saved);
        (void) close(capture->memory);
        return text;
}
