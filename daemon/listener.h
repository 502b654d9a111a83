/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The sockets that the daemon listens on: those that systemd passes, told apart by their fd names
 * ("http", several if need be, and "admin"), and those of --listen.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/failure.h"

struct Listener {
        int fd;
        bool admin;        /* a unix socket whose file permissions decide who is let in */
        bool exposed;      /* bound beyond the loopback */
        bool from_systemd; /* systemd goes on listening when we have ended */
        char *address;     /* "http://127.0.0.1:8100" or "unix:/run/atocore/admin.sock" */
        char *socket_path; /* of a unix socket that we made: to be removed; or NULL */
};

struct Listeners {
        struct Listener *list;
        size_t n;
};

/* Those of systemd. LISTEN_FAILED for a name that is neither, for what is no listening stream
 * socket, and for an "admin" that is no unix socket. */
int listeners_from_systemd(struct Listeners *listeners, struct Failure *failure);

/* One of --listen: `ADDR:PORT` (numeric, `[ADDR]:PORT` for IPv6, or `localhost`; port 0: any free
 * one) or `unix:PATH`, which is an admin socket. USAGE when it is neither, LISTEN_FAILED. */
int listeners_add(struct Listeners *listeners, const char *text, struct Failure *failure);
/* Whether listeners_add() would take the text at all. */
bool listener_is_valid(const char *text);

/* "http://127.0.0.1:8100, unix:/run/atocore/admin.sock"; caller frees; NULL: out of memory. */
char *listeners_describe(const struct Listeners *listeners);
bool listeners_exposed(const struct Listeners *listeners);
/* None is our own: systemd starts us again when somebody comes. */
bool listeners_survive(const struct Listeners *listeners);

/* Closes our descriptors. A socket of systemd's stays open there: nothing is shut down, and who
 * connects meanwhile waits in its queue. */
void listeners_clear(struct Listeners *listeners);
#define _cleanup_listeners_ _cleanup_(listeners_clear)
