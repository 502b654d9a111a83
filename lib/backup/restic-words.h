/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What restic says on standard error (`words`), and what it means. It has exit statuses for little.
 */

#include <stdbool.h>

/* 0.14 gave up a repository that cannot be opened at once. Later ones go on trying for a quarter of
 * an hour and say this each time, "1.020112183s: " and the reason behind it; but it is the unit
 * that tries again, and who lists by hand is to be told. */
#define RESTIC_UNREACHABLE "Stat(<config/>) returned error, retrying after "

/* The line that says why, without what restic puts in front of it: the caller frees. NULL: out of
 * memory. */
char *restic_complaint(const char *words);

/* That there is no repository. restic before 0.17 tells it by words only. They need not be all:
 * `restic init`, which acts on them, looks again itself and makes nothing where something is. */
bool restic_says_absent(int status, const char *complaint);

/* What its check says at the end, when it could read what is there and found it damaged. */
#define RESTIC_FOUND_ERRORS "repository contains errors"

/* That data came and is not what it was, or is gone. */
bool restic_says_damaged(const char *complaint);

/* That it died of itself. */
bool restic_has_panicked(int status, const char *words);
