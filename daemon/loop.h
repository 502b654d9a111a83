/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The life of a daemon that serves: signals, systemd's watchdog, the end of it all. The watchdog is
 * told that we live by the very loop that serves, so that it notices when that hangs.
 */

#include <stdint.h>

#include "daemon/listener.h"
#include "daemon/worker.h"

struct Loop;

/* `idle_timeout` in seconds, 0: never; it counts only where systemd keeps all listeners. SIGTERM
 * and SIGINT are blocked. All that is given must outlive the loop. */
int loop_new(struct Daemon *daemon, const struct Listeners *listeners, uint64_t idle_timeout,
        struct Loop **ret_loop, struct Failure *failure);
struct Loop *loop_free(struct Loop *loop);
DEFINE_POINTER_CLEANUP(struct Loop *, loop_free)
#define _cleanup_loop_ _cleanup_(loop_freep)

/* Until all is finished after SIGTERM or SIGINT, or nobody asked for long. A second signal stops
 * the long operations that are under way as well. */
int loop_run(struct Loop *loop, struct Failure *failure);
