/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What systemd shows beside the unit. Nothing happens where it did not start us.
 */

#include <stdint.h>

/* STATUS=. The text may hold names of files: what could forge another line is escaped. `more` are
 * further assignments, each with its newline, or "". */
void notify_status(const char *more, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* STATUS= of what is under way, once a second at most: `what` is that of progress.h. */
void notify_progress(const char *what, uint64_t done, uint64_t total);
/* READY=1 and the like, as in sd_notify(3). */
void notify_state(const char *assignments);
/* How often WATCHDOG=1 is to be sent, in milliseconds: twice in the time that the unit gives. 0:
 * nobody waits for it. */
uint64_t notify_watchdog_ms(void);
