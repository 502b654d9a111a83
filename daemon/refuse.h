/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Turns a connection away with a 503 of its own, before libmicrohttpd sees it. The descriptor stays
 * open for a moment, reading away what the client sends: closing with unread data would reset the
 * connection, and the client might never see the answer.
 */

#include <systemd/sd-event.h>

struct Refusals;

int refusals_new(sd_event *event, struct Refusals **ret_refusals); /* -ENOMEM */
struct Refusals *refusals_free(struct Refusals *refusals);

/* Takes the descriptor. */
void refuse_too_many(struct Refusals *refusals, int fd);
