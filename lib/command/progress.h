/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A progress bar on stderr, on a terminal only; elsewhere all of this does nothing. May be called
 * from any thread.
 */

#include <stdint.h>

/* `what` says which step this is, and after a comma what is counted: "Copying the database, bytes"
 * shows sizes, "Reading the vault, files" shows numbers, without a comma it is the percentage
 * alone. Redrawn at most ten times a second. total 0: unknown, shows `done` alone. */
void progress_update(const char *what, uint64_t done, uint64_t total);
/* Takes the bar off the screen. */
void progress_clear(void);
/* When --quiet was not given. From here on event lines and the bar keep out of each other's way. */
void progress_enable(void);
