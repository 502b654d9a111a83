/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/command/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "lib/base/cleanup.h"
#include "lib/base/stamp.h"
#include "lib/base/text.h"

void notify_status(const char *more, const char *format, ...) {
        _cleanup_free_ char *escaped = NULL;
        _cleanup_free_ char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&text, format, arguments) < 0)
                text = NULL;
        va_end(arguments);
        if (text && !text_is_printable(text))
                escaped = text_escape(text);
        (void) sd_notifyf(0, "%sSTATUS=%s", more,
                escaped                                   ? escaped
                        : text && text_is_printable(text) ? text
                                                          : "");
}

#define PROGRESS_MS 1000

void notify_progress(const char *what, uint64_t done, uint64_t total) {
        static uint64_t sent_at; /* of this process, as its status is */
        uint64_t now = monotonic_ms();
        size_t step = strcspn(what, ",");
        const char *unit = what + step + strspn(what + step, ", ");

        if (sent_at != 0 && now - sent_at < PROGRESS_MS)
                return;
        sent_at = now;
        if (strcmp(unit, "bytes") != 0 && unit[0] != '\0')
                notify_status("", "%.*s: %" PRIu64 " of %" PRIu64 " %s", (int) step, what, done,
                        total > done ? total : done, unit);
        else if (total > 0)
                notify_status("", "%.*s: %.0f %%", (int) step, what,
                        100.0 * (double) done / (double) total);
        else
                notify_status("", "%.*s", (int) step, what);
}

void notify_state(const char *assignments) {
        (void) sd_notify(0, assignments);
}

uint64_t notify_watchdog_ms(void) {
        uint64_t usec;

        if (sd_watchdog_enabled(0, &usec) <= 0)
                return 0;
        return usec < 2000 ? 1 : usec / 2000;
}
