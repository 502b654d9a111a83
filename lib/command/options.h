/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Command lines of atocored and the operations: one table per program, from which parsing and
 * --help both come. Completions and man pages are tested against --help.
 *
 * lib/command is what the programs of both wings share at their edge; nothing else in lib/ knows
 * argv, exit statuses or identities.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/config.h"
#include "lib/base/event.h"
#include "lib/base/layout.h"
#include "lib/base/stamp.h"
#include "lib/command/identity.h"

struct Option {
        const char *name;     /* "include-chroma" */
        char letter;          /* short form, or 0 */
        const char *argument; /* "SEC"; NULL: takes none; "[FORMAT]": optional, after = */
        const char *help;     /* one line */
        /* Takes the argument (NULL where there is none). -EINVAL with `failure` set (USAGE). */
        int (*parse)(const char *argument, void *userdata, struct Failure *failure);
};

struct Program {
        const char *name;             /* "atocore-backup" */
        const char *summary;          /* one line, for --help */
        const char *arguments;        /* "[STAMP|latest …]", or NULL: takes none */
        const struct Option *options; /* its own, ends with a NULL name */
};

/* What every program knows after its command line, environment and configuration were read. */
struct Command {
        struct Config *config;
        struct Layout *layout;
        struct Clock clock;
        bool json;
        enum Verbosity verbosity;
        char **arguments; /* the rest of argv, NULL-terminated; points into argv */
        size_t n_arguments;
};

enum CommandStep {
        COMMAND_RUN,  /* go on */
        COMMAND_EXIT, /* --help or --version was answered: end with 0 */
};

/* First of all in main(): makes sure that descriptors 0 to 2 are open, ignores SIGPIPE (what is
 * started by exec inherits that), sets up events, reads options (the program's and the common
 * ones), configuration and clock. --help and --version win over all that is wrong beside them.
 * USAGE, CONFIG_INVALID; WRITE_FAILED when stdout takes no help text. */
int command_prepare(const struct Program *program, int argc, char *argv[], void *userdata,
        struct Command *ret_command, enum CommandStep *ret_step, struct Failure *failure);
void command_clear(struct Command *command);
#define _cleanup_command_ _cleanup_(command_clear)

/* At the end of a program that printed to stdout: flushed and checked. WRITE_FAILED. */
int command_flush(struct Failure *failure);

/* For option parsers: a whole decimal number in [min, max]; the USAGE failure names the option,
 * which is given without its dashes. */
int option_parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
        uint64_t *ret_value, struct Failure *failure);
