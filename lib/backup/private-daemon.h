/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * An atocored of our own on a storage root, to ask it whether the data can be served. It listens on
 * a unix socket in a directory that only our user can enter, knows nothing of systemd, credentials
 * or the configuration of this machine, and dies with the thread that started it.
 *
 * What it says goes neither to the journal nor to the terminal, where it would read as if the
 * service itself had started and were degraded: it is kept in memory, and its last line is told
 * when it ends before it should.
 */

#include <stdint.h>

#include "lib/base/operation.h"

#define PRIVATE_DAEMON_READY_MS 60000
#define PRIVATE_DAEMON_STOP_MS  10000

/* Which atocored: this variable, else the one beside our own program, in ../sbin of it, or where it
 * is installed. */
#define PRIVATE_DAEMON_VARIABLE "ATOCORE_DAEMON"

struct PrivateDaemon;

struct PrivateDaemonOptions {
        int store_lock_fd; /* lock_fd() of the store lock of this root, held exclusively: it is
                            * passed on, and with it the lock. -1: it takes its own */
        uint64_t ready_ms; /* how long it may take until it serves; 0: as above */
        uint64_t stop_ms;  /* how long it may take to end when told to; 0: as above */
};

/* Starts it on the root of `layout` and waits until it serves. PROOF_FAILED where there is none to
 * start, where it ends before, or takes too long; INTERRUPTED; the failures of writing files.
 * Nothing is left of it then. */
int private_daemon_start(const struct Operation *operation, const struct Layout *layout,
        const struct PrivateDaemonOptions *options, struct PrivateDaemon **ret_daemon,
        struct Failure *failure);

const char *private_daemon_socket(const struct PrivateDaemon *daemon); /* path; the daemon's */

/* For who got no answer: how it ended, with its last line, as part of a sentence ("it ended with
 * status 78: ..."; the caller frees). NULL while it runs, or when memory ran out. */
char *private_daemon_end(struct PrivateDaemon *daemon);

/* SIGTERM, and SIGKILL for it and its children when it has not ended in time; its directory is
 * removed. */
struct PrivateDaemon *private_daemon_stop(struct PrivateDaemon *daemon);
DEFINE_POINTER_CLEANUP(struct PrivateDaemon *, private_daemon_stop)
#define _cleanup_private_daemon_ _cleanup_(private_daemon_stopp)

/* Removes what such daemons left in data/tmp of this root when their parents were killed. For who
 * holds the gate: then there is none that lives. */
int private_daemon_remove_abandoned(const struct Layout *layout, struct Failure *failure);
