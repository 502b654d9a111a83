/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The skeleton of all operations: options, configuration, identity, signals, operation, report,
 * exit status. A program is a table of options and a function that acts.
 */

#include "lib/base/operation.h"
#include "lib/command/options.h"

struct Op {
        struct Program program;
        /* Returns 0, or -errno with `failure` set: it is reported once, as one event, and becomes
         * the exit status. `operation` reports progress and notices, and is cancelled by SIGTERM,
         * SIGINT and SIGHUP. */
        int (*run)(struct Command *command, struct Operation *operation, void *userdata,
                struct Failure *failure);
        void *userdata; /* given to the options' parsers and to run() */
};

/* The whole of main(). Progress goes to lib/command/progress.h, where `what` is explained, and to
 * systemctl(1) status where the unit has NotifyAccess=. */
int op_main(const struct Op *op, int argc, char *argv[]);

/* For --json: one document and a newline on stdout, flushed and checked (a full disk or a closed
 * pipe is WRITE_FAILED). Puts `object`; NULL is OUT_OF_MEMORY. */
struct json_object;
int op_print_json(struct json_object *object, struct Failure *failure);
