/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What systemd shows beside the unit. Nothing happens where it did not start us.
 */

/* STATUS=. The text may hold names of files: what could forge another line is escaped. `more` are
 * further assignments, each with its newline, or "". */
void notify_status(const char *more, const char *format, ...) __attribute__((format(printf, 2, 3)));
