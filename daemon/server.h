/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * HTTP by libmicrohttpd, run by our own event loop: one thread accepts, reads and writes; workers
 * (jobs.h) answer. We accept, not libmicrohttpd: so the limits are ours, a listening socket of
 * systemd's is never shut down (MHD_stop_daemon() would), and to stop accepting is enough to lose
 * no connection: whoever is not accepted yet stays in the socket's queue for our successor.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "daemon/jobs.h"
#include "daemon/listener.h"

struct Server;

/* The listeners stay the caller's and must outlive the server. */
int server_new(sd_event *event, struct Daemon *daemon, const struct Listeners *listeners,
        struct Server **ret_server, struct Failure *failure);
/* After server_drain() called back, or before anything was served. */
struct Server *server_free(struct Server *server);
DEFINE_POINTER_CLEANUP(struct Server *, server_free)
#define _cleanup_server_ _cleanup_(server_freep)

/* Accepts no more, finishes what is under way, and then calls `done` once. */
void server_drain(struct Server *server, void (*done)(void *userdata), void *userdata);

/* No connection is open. *ret_since_ms: since when (monotonic). */
bool server_is_idle(const struct Server *server, uint64_t *ret_since_ms);
/* An operation of LANE_ADMIN is under way. */
bool server_works_long(const struct Server *server);
