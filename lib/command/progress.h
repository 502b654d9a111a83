/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A progress bar on stderr, on a terminal only; elsewhere all of this does nothing.
 */

#include <stdint.h>

/* Redrawn at most ten times a second. total 0: unknown, shows `done` alone. */
void progress_update(const char *what, uint64_t done, uint64_t total);
/* Takes the bar off the screen. */
void progress_clear(void);
void progress_enable(void); /* when stderr is a terminal and --quiet was not given */
