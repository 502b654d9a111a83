/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * archive-step ROOT STAMP [INTO]: an archive of a snapshot that is there, alone; with INTO, the
 * archive of that stamp unpacked to the empty directory INTO. Prints the milliseconds that it took.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/backup/archive-extract.h"
#include "lib/backup/archive.h"

static double now_ms(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

static int extract(const struct Operation *operation, const char *stamp, const char *into,
        struct Failure *failure) {
        _cleanup_check_report_ struct CheckReport *report = NULL;
        _cleanup_close_ int fd = open(into, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s.tar.zst", operation->layout->archives, stamp) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        r = archive_extract(operation, path, NULL, fd, into, &report, failure);
        return r < 0 || report->valid
                ? r
                : failure_set(failure, EVENT_SNAPSHOT_INVALID, 0, path, "%s is not valid", path);
}

int main(int argc, char **argv) {
        _cleanup_layout_ struct Layout *layout = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_free_ char *path = NULL;
        struct Config config = { 0 };
        struct Clock clock = { 0 };
        double before;
        int r;

        if ((argc != 3 && argc != 4) || layout_new(argv[1], &layout) < 0) {
                (void) fprintf(stderr, "Usage: archive-step ROOT STAMP [INTO]\n");
                return EXIT_FAILURE;
        }
        struct Operation operation = {
                .program = "archive-step", .layout = layout, .config = &config, .clock = &clock
        };
        before = now_ms();
        r = argc == 4 ? extract(&operation, argv[2], argv[3], &failure)
                      : archive_create(&operation, argv[2], ARCHIVE_FORMAT_ZSTD, &path, &failure);
        if (r < 0) {
                (void) fprintf(stderr, "archive-step: %s\n", failure_message(&failure));
                return EXIT_FAILURE;
        }
        (void) printf("%.3f\n", now_ms() - before);
        return EXIT_SUCCESS;
}
