/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/command/progress.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/event.h"
#include "lib/base/stamp.h"

#define REDRAW_MS       100
#define ERASE_LINE      "\r\x1b[K"
#define DEFAULT_COLUMNS 80
#define TEXT_SIZE       128
#define LINE_SIZE       512

/* One terminal, one bar. All of it, and writing to the terminal, is under the lock of stderr, which
 * event lines take too. */
static struct {
        bool enabled;
        bool drawn;
        uint64_t drawn_at;
} bar;

static size_t terminal_columns(void) {
        struct winsize size;

        if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
                return DEFAULT_COLUMNS;
        return size.ws_col;
}

static void write_text(const char *text, size_t size) {
        (void) !write(STDERR_FILENO, text, size); /* a bar that cannot be drawn is no failure */
}

static int format_size(uint64_t bytes, char *text, size_t size) {
        static const char units[] = "KMGTPE";
        double value = (double) bytes;
        int unit = -1;

        for (; value >= 1024 && units[unit + 1] != '\0'; unit++)
                value /= 1024;
        if (unit < 0)
                return snprintf(text, size, "%" PRIu64 " B", bytes);
        return snprintf(text, size, "%.1f %ciB", value, units[unit]);
}

/* "1.2 GiB of 3.4 GiB", "120 of 3400 files", or nothing. */
static void format_amount(
        const char *unit, uint64_t done, uint64_t total, char *text, size_t size) {
        const char *space = unit[0] != '\0' ? " " : "";
        char done_text[32], total_text[32];

        if (strcmp(unit, "bytes") == 0) {
                (void) format_size(done, done_text, sizeof done_text);
                (void) format_size(total, total_text, sizeof total_text);
                if (total > 0)
                        (void) snprintf(text, size, " %s of %s", done_text, total_text);
                else
                        (void) snprintf(text, size, " %s", done_text);
        } else if (total == 0 && done > 0)
                (void) snprintf(text, size, " %" PRIu64 "%s%s", done, space, unit);
        else if (total > 0 && unit[0] != '\0')
                (void) snprintf(text, size, " %" PRIu64 " of %" PRIu64 " %s", done, total, unit);
        else
                text[0] = '\0';
}

/* "Step [=====     ] 50 % amount", the bar taking what the line has left. One column stays free:
 * many terminals wrap when the last is written. */
static size_t format_line(
        const char *what, uint64_t done, uint64_t total, size_t columns, char line[LINE_SIZE]) {
        size_t step = strcspn(what, ","), used, room, filled;
        const char *unit = what + step + strspn(what + step, ", ");
        char amount[TEXT_SIZE], percent[TEXT_SIZE] = "";
        int length;

        if (columns > LINE_SIZE)
                columns = LINE_SIZE;
        if (done > total && total > 0)
                done = total; /* the estimate was too low */
        format_amount(unit, done, total, amount, sizeof amount);
        if (total > 0)
                (void) snprintf(percent, sizeof percent, " %3.0f %%",
                        100.0 * (double) done / (double) total);

        used = step + strlen(percent) + strlen(amount) + strlen(" []") + 1;
        if (total == 0 || used + 10 > columns)
                length = snprintf(line, columns, "%.*s%s%s", (int) step, what, percent, amount);
        else {
                room = columns - used;
                filled = (size_t) ((double) room * (double) done / (double) total);
                length = snprintf(line, columns, "%.*s [", (int) step, what);
                memset(line + length, '=', filled);
                memset(line + length + filled, ' ', room - filled);
                length += (int) room;
                length += snprintf(
                        line + length, columns - (size_t) length, "]%s%s", percent, amount);
        }
        return (size_t) length < columns ? (size_t) length : columns - 1;
}

static void draw(const char *what, uint64_t done, uint64_t total) {
        char text[sizeof ERASE_LINE - 1 + LINE_SIZE];
        size_t erase = sizeof ERASE_LINE - 1;

        memcpy(text, ERASE_LINE, erase);
        write_text(text, erase + format_line(what, done, total, terminal_columns(), text + erase));
}

void progress_update(const char *what, uint64_t done, uint64_t total) {
        uint64_t now;

        flockfile(stderr);
        now = monotonic_ms();
        if (bar.enabled && (bar.drawn_at == 0 || now - bar.drawn_at >= REDRAW_MS)) {
                draw(what, done, total);
                bar.drawn = true;
                bar.drawn_at = now;
        }
        funlockfile(stderr);
}

void progress_clear(void) {
        flockfile(stderr);
        if (bar.drawn)
                write_text(ERASE_LINE, sizeof ERASE_LINE - 1);
        bar.drawn = false;
        funlockfile(stderr);
}

void progress_enable(void) {
        const char *terminal = getenv("TERM");

        if (!isatty(STDERR_FILENO) || !terminal || strcmp(terminal, "dumb") == 0)
                return;
        flockfile(stderr);
        bar.enabled = true;
        funlockfile(stderr);
        event_set_line_hook(progress_clear);
}
