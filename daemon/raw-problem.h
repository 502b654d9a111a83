/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A problem (RFC 9457) written straight into a socket, where libmicrohttpd does not answer: before
 * it has the connection, or instead of it.
 */

/* As much as the socket takes at once. -errno of send(2). `code` and `detail` need no escaping. */
int raw_problem_send(
        int fd, unsigned status, const char *reason, const char *code, const char *detail);
