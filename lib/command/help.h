/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What --help and --version print, made from the tables that the parser reads.
 */

#include "lib/command/options.h"

/* Both print to stdout, flushed and checked. `common` are the options that all programs have. */
int help_print(const struct Program *program, const struct Option *common, struct Failure *failure);
int help_print_version(const struct Program *program, struct Failure *failure);
