/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Another program, run to be read from or written to: an argument vector and no shell, no terminal.
 * It is asked to stop (SIGINT, which all of ours take as such) when the operation is cancelled or
 * we die, and killed when it does not; nothing that it started outlives it. There is no deadline
 * but for who sets one: what a transfer over a slow line may take is not known here, and a unit has
 * TimeoutStartSec=. One that is confined has nothing to put in order, and is killed at once.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/confinement.h"
#include "lib/base/failure.h"
#include "lib/base/operation.h"

struct SubprocessCommand {
        const char *const *arguments; /* NULL-terminated; the program is looked for in PATH */
        char *const
                *environment; /* NULL-terminated "NAME=VALUE" beside and instead of ours, or NULL */
        const char *directory; /* to run in; NULL: where we are */
        bool fed;              /* it reads what subprocess_write() gives it, */
        int input;             /* else what is behind this descriptor; 0: nothing */
        int output;            /* it writes to this descriptor; 0: for subprocess_read() */
        /* What it may do, or NULL: whatever we may. Its environment is then `environment` alone. */
        const struct Confinement *confinement;
        uint64_t deadline; /* of monotonic_ms(), when it is killed; 0: none */
        /* It is killed as soon as it has these in what it says on standard error, or NULL: for what
         * would try again and again what its caller would rather know has failed. */
        const char *last_words;
};

struct Subprocess;

/* -ENOENT without a failure: there is no such program. READ_FAILED, PERMISSION_DENIED,
 * OUT_OF_MEMORY. */
int subprocess_start(const struct Operation *operation, const struct SubprocessCommand *command,
        struct Subprocess **ret_child, struct Failure *failure);

/* What it writes to standard output, waiting for some; 0 at its end. -ETIME without a failure, here
 * and below: its deadline has passed, and it was killed. INTERRUPTED, READ_FAILED. */
ssize_t subprocess_read(
        struct Subprocess *child, void *buffer, size_t size, struct Failure *failure);

/* All of the bytes, to one that is fed. -EPIPE without a failure: it takes no more, and
 * subprocess_finish() and subprocess_words() tell why. INTERRUPTED, READ_FAILED. */
int subprocess_write(
        struct Subprocess *child, const void *data, size_t size, struct Failure *failure);

/* Ends what it is fed, and waits until it has ended; what it still writes is dropped. *ret_status
 * is its exit status, or 128 and the number of the signal that ended it. INTERRUPTED, READ_FAILED.
 */
int subprocess_finish(struct Subprocess *child, int *ret_status, struct Failure *failure);

/* The end of what it wrote to standard error, a few KiB of it. */
const char *subprocess_words(const struct Subprocess *child);

/* Stops it when it still runs. */
struct Subprocess *subprocess_free(struct Subprocess *child);
DEFINE_POINTER_CLEANUP(struct Subprocess *, subprocess_free)
#define _cleanup_subprocess_ _cleanup_(subprocess_freep)
