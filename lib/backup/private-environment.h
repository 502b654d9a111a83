/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The environment of a private daemon: ours, without what would tie it to our own unit (sockets,
 * notification, watchdog, credentials, journal) or to another storage root.
 */

#include "lib/base/cleanup.h"

/* NULL-terminated, with NOTIFY_SOCKET and, where `lock_fd` is not -1, ATOCORE_STORE_LOCK_FD.
 * NULL when memory ran out. Of AtoCore's own variables the clock (ATOCORE_NOW) stays. */
char **private_environment(const char *notify_socket, int lock_fd);

char **environment_free(char **environment);
DEFINE_POINTER_CLEANUP(char **, environment_free)
#define _cleanup_environment_ _cleanup_(environment_freep)
