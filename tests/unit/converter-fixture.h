/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Programs of our own in place of pandoc and pdftotext: shell scripts that are found in PATH.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utime.h>

#include "lib/base/file-io.h"

/* `directory` comes first in PATH and holds `name`, which does `script`; the same script length in
 * the same file is the same program. */
static inline void converter_install(const char *directory, const char *name, const char *script) {
        static const struct utimbuf times = { 1600000000, 1600000000 };
        _cleanup_free_ char *path = NULL, *text = NULL;

        if (asprintf(&path, "%s/%s", directory, name) < 0 ||
                asprintf(&text, "#!/bin/sh\n%s\n", script) < 0)
                abort();
        (void) mkdir(directory, 0755);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
        if (fd < 0 || write_all(fd, text, strlen(text)) < 0 || utime(path, &times) < 0)
                abort();
        if (setenv("PATH", directory, 1) < 0)
                abort();
}
