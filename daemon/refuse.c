/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/refuse.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>

#include "daemon/peers.h"
#include "daemon/raw-problem.h"
#include "daemon/response.h"
#include "lib/base/cleanup.h"

#define LINGERING_MAX 16 /* the oldest goes when there are more */
#define LINGER_USEC   2000000u
#define DRAIN_MAX     65536 /* bytes read away at once */

struct Lingering {
        struct Refusals *refusals;
        sd_event_source *input;
        sd_event_source *deadline;
        int fd; /* -1: free */
};

struct Refusals {
        sd_event *event;
        struct Lingering lingering[LINGERING_MAX];
        size_t next; /* a ring: the oldest is reused */
};

int refusals_new(sd_event *event, struct Refusals **ret_refusals) {
        struct Refusals *refusals = calloc(1, sizeof *refusals);

        if (!refusals)
                return -ENOMEM;
        refusals->event = event;
        for (size_t i = 0; i < LINGERING_MAX; i++)
                refusals->lingering[i] = (struct Lingering){ .refusals = refusals, .fd = -1 };
        *ret_refusals = refusals;
        return 0;
}

static void finish(struct Lingering *lingering) {
        lingering->input = sd_event_source_disable_unref(lingering->input);
        lingering->deadline = sd_event_source_disable_unref(lingering->deadline);
        if (lingering->fd >= 0)
                (void) close(lingering->fd);
        lingering->fd = -1;
}

struct Refusals *refusals_free(struct Refusals *refusals) {
        if (!refusals)
                return NULL;
        for (size_t i = 0; i < LINGERING_MAX; i++)
                finish(&refusals->lingering[i]);
        free(refusals);
        return NULL;
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct Lingering *lingering = userdata;
        char buffer[4096];
        size_t total = 0;
        ssize_t n;

        (void) source, (void) events;
        do {
                n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
                total += n > 0 ? (size_t) n : 0;
        } while (n > 0 && total < DRAIN_MAX);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                finish(lingering);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source, (void) usec;
        finish(userdata);
        return 0;
}

void refuse_too_many(struct Refusals *refusals, int fd) {
        struct Lingering *lingering = &refusals->lingering[refusals->next];
        char detail[96];

        refusals->next = (refusals->next + 1) % LINGERING_MAX;
        finish(lingering);
        lingering->fd = fd;

        (void) snprintf(detail, sizeof detail,
                "This address has %d connections open; close one first", PEERS_MAX_PER_ADDRESS);
        if (raw_problem_send(fd, HTTP_UNAVAILABLE, "Service Unavailable", "too_many_connections",
                    detail) < 0 ||
                shutdown(fd, SHUT_WR) < 0 ||
                sd_event_add_io(
                        refusals->event, &lingering->input, fd, EPOLLIN, on_input, lingering) < 0 ||
                sd_event_add_time_relative(refusals->event, &lingering->deadline, CLOCK_MONOTONIC,
                        LINGER_USEC, 0, on_deadline, lingering) < 0)
                finish(lingering);
}
