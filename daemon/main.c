/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * atocored: answers over HTTP, on sockets of systemd or its own, until it is told to stop or nobody
 * asks any more.
 */

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "daemon/health.h"
#include "daemon/listener.h"
#include "daemon/loop.h"
#include "lib/base/event.h"
#include "lib/base/lock.h"
#include "lib/command/identity.h"
#include "lib/command/notify.h"
#include "lib/command/options.h"

#define PROGRAM            "atocored"
#define IDLE_TIMEOUT_MAX   (7 * 24 * 60 * 60)
#define GATE_SLICE_SECONDS 2
#define GATE_EXTEND        "EXTEND_TIMEOUT_USEC=30000000\n"
#define ARENAS_MAX         2
/* What one request frees the next one needs: the heap is not to shrink and grow in between. */
#define TRIM_THRESHOLD (1 << 20)

/* The command line. */

struct Arguments {
        const char **listen;
        size_t n_listen;
        uint64_t idle_timeout; /* seconds; 0: never */
};

static void arguments_clear(struct Arguments *arguments) {
        free(arguments->listen);
}

static int parse_listen(const char *argument, void *userdata, struct Failure *failure) {
        struct Arguments *arguments = userdata;
        const char **list;

        if (!listener_is_valid(argument))
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "Bad value for option --listen: %s; expected is ADDR:PORT with a numeric "
                        "address, [ADDR]:PORT for IPv6, or unix:/PATH",
                        argument);
        list = reallocarray(arguments->listen, arguments->n_listen + 1, sizeof *list);
        if (!list)
                return failure_out_of_memory(failure);
        arguments->listen = list;
        list[arguments->n_listen++] = argument;
        return 0;
}

static int parse_idle_timeout(const char *argument, void *userdata, struct Failure *failure) {
        struct Arguments *arguments = userdata;

        return option_parse_number(
                "idle-timeout", argument, 1, IDLE_TIMEOUT_MAX, &arguments->idle_timeout, failure);
}

static const struct Option options[] = {
        { "listen", 0, "ADDR:PORT|unix:PATH",
                "listen there, too; can be repeated (default: systemd's sockets)", parse_listen },
        { "idle-timeout", 0, "SEC", "end when idle so long; with systemd's sockets only",
                parse_idle_timeout },
        { 0 },
};

static const struct Program program = {
        .name = PROGRAM,
        .summary = "Answer over HTTP: context, interactions, backups",
        .options = options,
};

/* Starting. */

static int open_listeners(const struct Arguments *arguments, const struct Layout *layout,
        struct Listeners *listeners, struct Failure *failure) {
        int r;

        r = listeners_from_systemd(listeners, failure);
        if (r < 0)
                return r;
        if (listeners->n == 0 && arguments->n_listen == 0)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "There is no socket to serve: systemd passed none, and none is given; "
                        "start "
                        "atocore.socket, or say where to listen: " PROGRAM
                        " --listen 127.0.0.1:8100");

        /* Sockets of our own belong to who serves them. */
        r = command_assume_identity(layout, failure);
        for (size_t i = 0; r >= 0 && i < arguments->n_listen; i++)
                r = listeners_add(listeners, arguments->listen[i], failure);
        return r;
}

static bool told_to_stop(void *userdata) {
        sigset_t pending;

        (void) userdata;
        return sigpending(&pending) >= 0 &&
                (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* A restore has the gate closed: whoever is connected already waits in the sockets' queues, and is
 * served when it opens. Where there can be no lock, /health and each request say what is wrong.
 * -EINTR when told to stop meanwhile. */
static int pass_gate(const struct Command *command, struct Lock **ret_lock) {
        struct Clock clock = command->clock;
        const struct Operation operation = {
                .layout = command->layout,
                .config = command->config,
                .clock = &clock,
                .program = PROGRAM,
                .lock_wait = GATE_SLICE_SECONDS,
                .cancelled = told_to_stop,
        };

        for (;;) {
                _cleanup_failure_ struct Failure failure = { 0 };

                if (lock_acquire_store(&operation, ret_lock, &failure) >= 0)
                        return 0;
                if (failure.event == EVENT_INTERRUPTED)
                        return -EINTR;
                if (failure.event != EVENT_LOCK_BUSY) {
                        event_debug("Serving without a lock: %s", failure_message(&failure));
                        return 0;
                }
                notify_status(GATE_EXTEND, "Waiting: %s", failure_message(&failure));
        }
}

/* An earlier version's database is brought up to date here, before anybody reads it. It stays open:
 * the first connection of all has to read the whole -wal, the workers' then need not. Whatever
 * keeps it from being opened is found again, and told, by the check that follows. */
static struct Store *open_database(struct Daemon *daemon) {
        struct Store *store = NULL;
        struct Operation operation;
        struct Worker worker;

        worker_init(&worker, daemon, SQLITE_MODE_WRITE);
        operation = worker_operation(&worker);
        return store_open(&operation, SQLITE_MODE_WRITE, &store, NULL) < 0 ? NULL : store;
}

static void check_health(struct Daemon *daemon) {
        _cleanup_health_report_ struct HealthReport report = { 0 };
        struct Worker worker;

        worker_init(&worker, daemon, SQLITE_MODE_READ);
        health_check(&worker, &report);
        health_tell(daemon->told, &report);
        worker_clear(&worker);
}

static void tell_started(const struct Daemon *daemon, const struct Listeners *listeners) {
        _cleanup_free_ char *addresses = listeners_describe(listeners);
        uint64_t took = monotonic_ms() - daemon->started_ms;

        event_emit(&(struct Event){ .id = EVENT_DAEMON_STARTED, .path = daemon->layout->root },
                "Serving %s from %s, ready after %" PRIu64 " ms", addresses ? addresses : "it",
                daemon->layout->root, took);
        (void) sd_notify(0, "READY=1");
}

static int serve(const struct Command *command, const struct Arguments *arguments,
        const struct AccessRules *access, const struct Listeners *listeners, uint64_t started_ms,
        struct Failure *failure) {
        _cleanup_registry_cache_ struct RegistryCache *registry = NULL;
        _cleanup_(health_told_freep) struct HealthTold *told = NULL;
        _cleanup_lock_ struct Lock *lock = NULL;
        _cleanup_store_ struct Store *store = NULL;
        _cleanup_vectors_ struct Vectors *vectors = NULL;
        struct Daemon daemon = {
                .config = command->config,
                .layout = command->layout,
                .clock = &command->clock,
                .access = access,
                .started_ms = started_ms,
                .exposed = listeners_exposed(listeners),
        };
        _cleanup_loop_ struct Loop *loop = NULL;
        int r;

        if (registry_cache_new(command->layout, &registry) < 0 || health_told_new(&told) < 0)
                return failure_out_of_memory(failure);
        daemon.registry = registry;
        daemon.told = told;
        r = vectors_open(command->config, &vectors, failure);
        if (r < 0)
                return r;

        if (pass_gate(command, &lock) == -EINTR)
                return 0;
        daemon.lock = lock;
        store = open_database(&daemon);
        check_health(&daemon);
        daemon.vectors = vectors; /* not before: a start waits for no server */
        (void) malloc_trim(0);

        r = loop_new(&daemon, listeners, arguments->idle_timeout, &loop, failure);
        if (r < 0)
                return r;
        tell_started(&daemon, listeners);
        r = loop_run(loop, failure);
        if (r >= 0)
                event_emit(
                        &(struct Event){ .id = EVENT_DAEMON_STOPPED, .path = daemon.layout->root },
                        "Stopped serving %s", daemon.layout->root);
        return r;
}

/* Before the first thread: all inherit that signals are for the loop. */
static void block_signals(void) {
        sigset_t signals;

        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGTERM);
        (void) sigaddset(&signals, SIGINT);
        (void) sigprocmask(SIG_BLOCK, &signals, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
}

static int run(struct Command *command, const struct Arguments *arguments, uint64_t started_ms,
        struct Failure *failure) {
        _cleanup_access_rules_ struct AccessRules access = { 0 };
        _cleanup_listeners_ struct Listeners listeners = { 0 };
        int r;

        block_signals();
        r = access_rules_load(command->config, &access, failure);
        if (r < 0)
                return r;
        r = open_listeners(arguments, command->layout, &listeners, failure);
        if (r < 0)
                return r;
        return serve(command, arguments, &access, &listeners, started_ms, failure);
}

static int report(struct Failure *failure) {
        int status;

        if (!failure_is_set(failure))
                (void) failure_set(failure, EVENT_INTERNAL_ERROR, 0, NULL,
                        "Failed without giving a reason; please report this");
        event_emit_failure(failure);
        notify_status("", "%s", failure_message(failure));
        status = event_exit_status(failure->event);
        return status != 0 ? status : EX_SOFTWARE;
}

int main(int argc, char *argv[]) {
        _cleanup_(arguments_clear) struct Arguments arguments = { 0 };
        _cleanup_command_ struct Command command = { 0 };
        _cleanup_failure_ struct Failure failure = { 0 };
        uint64_t started_ms = monotonic_ms();
        enum CommandStep step;
        int r, status;

        (void) mallopt(M_ARENA_MAX, ARENAS_MAX);
        (void) mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
        r = command_prepare(&program, argc, argv, &arguments, &command, &step, &failure);
        if (r >= 0 && step == COMMAND_RUN)
                r = run(&command, &arguments, started_ms, &failure);
        status = r < 0 ? report(&failure) : 0;
        event_flush();
        return status;
}
