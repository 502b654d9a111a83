/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a program is told beside its arguments, by credentials.
 */

#include "lib/backup/offsite.h"

/* The environment of the program and the name of this host. CONFIG_INVALID for a line of
 * offsite-environment that is none. */
int offsite_load_settings(
        const struct Operation *operation, struct Offsite *offsite, struct Failure *failure);

/* A copy in which the password of each URL reads "***" (the caller frees). NULL when memory ran
 * out. */
char *offsite_redact(const char *text);
