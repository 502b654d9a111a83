/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How libmicrohttpd (0.9.75 to 1.0) is set up: without a thread and a listening socket of its own,
 * on an epoll descriptor that our event loop watches.
 */

#include <microhttpd.h>

#define HTTP_IDLE_SECONDS 30u /* a connection on which nothing happens is closed */

struct HttpCallbacks {
        MHD_AccessHandlerCallback request;
        MHD_RequestCompletedCallback request_end;
        MHD_NotifyConnectionCallback connection;
};

/* NULL with errno set. Stopped by MHD_stop_daemon(), without suspended connections. Paths and
 * queries come as they were sent, undecoded. */
struct MHD_Daemon *http_start(const struct HttpCallbacks *callbacks, void *userdata);
