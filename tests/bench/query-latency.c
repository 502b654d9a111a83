/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * query-latency ROOT TOP_K: asks for the prompts of the standard input, one a line, in one process
 * and without HTTP. Every tenth is asked beforehand, so that what a process keeps in memory is
 * there; prints the milliseconds of each.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/knowledge/retrieve.h"

#define WARM_STEP 10

static double now_ms(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

static int ask(struct Store *store, const char *prompt, size_t top_k, double *ret_ms,
        struct Failure *failure) {
        _cleanup_retrieval_ struct Retrieval *retrieval = NULL;
        double before = now_ms();
        int r;

        r = retrieve(store, NULL, prompt, top_k, &retrieval, failure);
        *ret_ms = now_ms() - before;
        return r;
}

static int ask_all(const struct Operation *operation, char **prompts, size_t n, size_t top_k,
        struct Failure *failure) {
        _cleanup_store_ struct Store *store = NULL;
        double ms;
        int r;

        r = store_open(operation, SQLITE_MODE_READ, &store, failure);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i += WARM_STEP) {
                r = ask(store, prompts[i], top_k, &ms, failure);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < n; i++) {
                r = ask(store, prompts[i], top_k, &ms, failure);
                if (r < 0)
                        return r;
                (void) printf("%.4f\n", ms);
        }
        return 0;
}

static char **read_lines(size_t *ret_n) {
        char **lines = NULL, *line = NULL;
        size_t n = 0, room = 0;
        ssize_t size;

        while ((size = getline(&line, &room, stdin)) > 0) {
                char **more = reallocarray(lines, n + 1, sizeof *lines);

                if (!more)
                        abort();
                line[strcspn(line, "\n")] = '\0';
                lines = more;
                lines[n++] = STEAL(line);
                room = 0;
        }
        free(line);
        *ret_n = n;
        return lines;
}

int main(int argc, char **argv) {
        _cleanup_layout_ struct Layout *layout = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Config config = { 0 };
        struct Clock clock = { 0 };
        size_t n;
        int r;

        if (argc != 3 || layout_new(argv[1], &layout) < 0) {
                (void) fprintf(stderr, "Usage: query-latency ROOT TOP_K <PROMPTS\n");
                return EXIT_FAILURE;
        }
        struct Operation operation = {
                .program = "query-latency", .layout = layout, .config = &config, .clock = &clock
        };
        char **prompts = read_lines(&n);

        r = ask_all(&operation, prompts, n, strtoul(argv[2], NULL, 10), &failure);
        if (r < 0)
                (void) fprintf(stderr, "query-latency: %s\n", failure_message(&failure));
        for (size_t i = 0; i < n; i++)
                free(prompts[i]);
        free(prompts);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
