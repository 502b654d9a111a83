/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/loop.h"

#include <errno.h>
#include <signal.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "daemon/server.h"
#include "lib/base/event.h"
#include "lib/command/notify.h"

#define USEC_PER_SECOND  1000000u
#define MS_PER_SECOND    1000u
#define FINISHING_PERIOD (10 * USEC_PER_SECOND)
#define FINISHING_EXTEND "EXTEND_TIMEOUT_USEC=30000000"

struct Loop {
        struct Daemon *daemon;
        sd_event *event;
        struct Server *server;
        sd_event_source *sigterm;
        sd_event_source *sigint;
        sd_event_source *idle;
        sd_event_source *finishing; /* while we end */
        uint64_t idle_timeout;
        bool stopping;
};

static void on_drained(void *userdata) {
        struct Loop *loop = userdata;

        (void) sd_event_exit(loop->event, 0);
}

/* What runs long is given the time it needs. What hangs is not: then the unit's timeout counts. */
static int on_finishing(sd_event_source *source, uint64_t usec, void *userdata) {
        struct Loop *loop = userdata;

        (void) usec;
        if (server_works_long(loop->server))
                (void) sd_notify(0, FINISHING_EXTEND);
        (void) sd_event_source_set_time_relative(source, FINISHING_PERIOD);
        return sd_event_source_set_enabled(source, SD_EVENT_ON);
}

static void stop(struct Loop *loop) {
        loop->stopping = true;
        notify_status("STOPPING=1\n", "Finishing what is under way");
        (void) sd_event_add_time_relative(
                loop->event, &loop->finishing, CLOCK_MONOTONIC, 0, 0, on_finishing, loop);
        server_drain(loop->server, on_drained, loop);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        struct Loop *loop = userdata;

        (void) source, (void) info;
        if (loop->stopping)
                atomic_store(&loop->daemon->cancelled, true);
        else
                stop(loop);
        return 0;
}

/* Nobody is connected, and who connects from now on waits in systemd's socket, which starts our
 * successor: nobody is lost. */
static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        struct Loop *loop = userdata;
        uint64_t since, idle, limit = loop->idle_timeout * MS_PER_SECOND;

        (void) usec;
        if (loop->stopping)
                return 0;
        idle = server_is_idle(loop->server, &since) ? monotonic_ms() - since : 0;
        /* A registry that is nowhere but in memory ends with us. */
        if (registry_cache_is_stale(loop->daemon->registry))
                idle = 0;
        if (idle >= limit) {
                stop(loop);
                return 0;
        }
        (void) sd_event_source_set_time_relative(source, (limit - idle) * 1000);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int add_sources(struct Loop *loop, const struct Listeners *listeners) {
        int r;

        r = sd_event_add_signal(loop->event, &loop->sigterm, SIGTERM, on_signal, loop);
        if (r >= 0)
                r = sd_event_add_signal(loop->event, &loop->sigint, SIGINT, on_signal, loop);
        if (r >= 0)
                r = sd_event_set_watchdog(loop->event, true);
        if (r < 0 || loop->idle_timeout == 0)
                return r;
        if (!listeners_survive(listeners)) {
                event_debug("--idle-timeout is not observed: nobody would start this again");
                return 0;
        }
        return sd_event_add_time_relative(loop->event, &loop->idle, CLOCK_MONOTONIC,
                loop->idle_timeout * USEC_PER_SECOND, 0, on_idle, loop);
}

int loop_new(struct Daemon *daemon, const struct Listeners *listeners, uint64_t idle_timeout,
        struct Loop **ret_loop, struct Failure *failure) {
        _cleanup_loop_ struct Loop *loop = calloc(1, sizeof *loop);
        int r;

        if (!loop)
                return failure_out_of_memory(failure);
        loop->daemon = daemon;
        loop->idle_timeout = idle_timeout;
        r = sd_event_new(&loop->event);
        if (r >= 0)
                r = add_sources(loop, listeners);
        if (r < 0)
                return failure_set(
                        failure, EVENT_LISTEN_FAILED, -r, NULL, "Cannot start serving: %m");
        r = server_new(loop->event, daemon, listeners, &loop->server, failure);
        if (r < 0)
                return r;
        *ret_loop = STEAL(loop);
        return 0;
}

struct Loop *loop_free(struct Loop *loop) {
        if (!loop)
                return NULL;
        (void) server_free(loop->server);
        (void) sd_event_source_disable_unref(loop->sigterm);
        (void) sd_event_source_disable_unref(loop->sigint);
        (void) sd_event_source_disable_unref(loop->idle);
        (void) sd_event_source_disable_unref(loop->finishing);
        (void) sd_event_unref(loop->event);
        free(loop);
        return NULL;
}

int loop_run(struct Loop *loop, struct Failure *failure) {
        int r = sd_event_loop(loop->event);

        return r < 0 ? failure_set(failure, EVENT_INTERNAL_ERROR, -r, NULL,
                               "The event loop failed: %m; please report this")
                     : 0;
}
