/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * copy-step SOURCE TARGET: the copy step of a snapshot alone. Prints the milliseconds that
 * sqlite_copy() took, and whether it cloned.
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/operation.h"
#include "lib/base/sqlite.h"

static double now_ms(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Operation operation = { .program = "copy-step" };
        enum CopyMethod method;
        double before;

        if (argc != 3) {
                (void) fprintf(stderr, "Usage: copy-step SOURCE TARGET\n");
                return EXIT_FAILURE;
        }
        before = now_ms();
        if (sqlite_copy(&operation, argv[1], argv[2], &method, &failure) < 0) {
                (void) fprintf(stderr, "copy-step: %s\n", failure_message(&failure));
                return EXIT_FAILURE;
        }
        (void) printf("%.3f %s\n", now_ms() - before, method == COPY_CLONED ? "cloned" : "copied");
        return EXIT_SUCCESS;
}
