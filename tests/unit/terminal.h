/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * stderr as a terminal, and what is shown there. cmocka reports to stderr too: a test asserts only
 * after terminal_end().
 */

#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TERMINAL_END     "<end>" /* what comes through the terminal comes late: read up to here */
#define TERMINAL_TEXT    8192
#define TERMINAL_WAIT_MS 60000

struct Terminal {
        int saved;
        int master;
        int slave;
};

static inline struct Terminal terminal_start(unsigned short columns) {
        const struct winsize size = { .ws_row = 24, .ws_col = columns };
        struct Terminal terminal = { .saved = dup(STDERR_FILENO) };

        if (openpty(&terminal.master, &terminal.slave, NULL, NULL, &size) < 0 ||
                dup2(terminal.slave, STDERR_FILENO) < 0)
                abort();
        return terminal;
}

/* All that was shown; the caller frees it. Newlines read \r\n. */
static inline char *terminal_end(struct Terminal *terminal) {
        struct pollfd master = { .fd = terminal->master, .events = POLLIN };
        char *text = calloc(1, TERMINAL_TEXT), *end = NULL;
        size_t size = 0;

        if (!text || write(terminal->slave, TERMINAL_END, strlen(TERMINAL_END)) < 0)
                abort();
        while (!end && size < TERMINAL_TEXT - 1 && poll(&master, 1, TERMINAL_WAIT_MS) > 0) {
                ssize_t n = read(terminal->master, text + size, TERMINAL_TEXT - 1 - size);

                if (n <= 0)
                        break;
                size += (size_t) n;
                end = strstr(text, TERMINAL_END);
        }
        if (!end)
                abort();
        *end = '\0';

        (void) dup2(terminal->saved, STDERR_FILENO);
        (void) close(terminal->saved);
        (void) close(terminal->slave);
        (void) close(terminal->master);
        return text;
}
