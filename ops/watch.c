/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * atocore-watch: keep the index current. What changes in the sources is ingested as soon as it is
 * quiet there, and everything once in a while, whatever was told.
 *
 * There is one thread. An ingest asks at each file whether to go on: in answering, this keeps up
 * with the kernel and with systemd's watchdog (keep_up()). What changes meanwhile is for the ingest
 * after it.
 */

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "lib/base/json-build.h"
#include "lib/base/json-document.h"
#include "lib/command/notify.h"
#include "lib/command/progress.h"
#include "lib/knowledge/ingest.h"
#include "lib/knowledge/told.h"
#include "lib/knowledge/watch.h"
#include "ops/ingest-report.h"
#include "ops/op.h"

#define KEEP_UP_MS 50  /* the kernel keeps some 16,000 changes for us */
#define RETRY_MS   500 /* to get a lock that somebody else has */

struct Watcher {
        const struct Command *command;
        const struct Operation *given; /* by the skeleton */
        struct Operation operation;    /* of the ingests */
        struct Watch *watch;
        struct Changes changes;
        struct Told told;

        bool ready;   /* systemd was told */
        bool limited; /* there are no watches */
        uint64_t kept_up_ms;
        uint64_t watchdog_ms;      /* how often; 0: never */
        uint64_t alive_ms;         /* when it was told last */
        uint64_t look_ms;          /* when the last look began */
        uint64_t not_before_ms;    /* while somebody else has a lock */
        uint64_t everything_at_ms; /* the next look at everything */

        struct IngestResult sum; /* of all ingests, for --json; its errors are not kept */
        uint64_t n_errors;
};

static void watcher_clear(struct Watcher *watcher) {
        (void) watch_free(watcher->watch);
        changes_clear(&watcher->changes);
        told_clear(&watcher->told);
}

static bool is_stopped(const struct Watcher *watcher) {
        return operation_cancelled(watcher->given);
}

/* Changes. */

static void read_changes(struct Watcher *watcher, uint64_t now_ms) {
        if (watch_read(watcher->watch, &watcher->changes, now_ms))
                event_emit(&(const struct Event){ .id = EVENT_WATCH_OVERFLOWED,
                                   .path = watcher->command->layout->sources },
                        "More has changed in %s than the kernel keeps for one who watches; looking "
                        "at all of it",
                        watcher->command->layout->sources);
}

static void tell_alive(struct Watcher *watcher, uint64_t now_ms) {
        if (watcher->watchdog_ms == 0 || now_ms - watcher->alive_ms < watcher->watchdog_ms)
                return;
        watcher->alive_ms = now_ms;
        notify_state("WATCHDOG=1");
}

static bool keep_up(void *userdata) {
        struct Watcher *watcher = userdata;
        uint64_t now_ms = monotonic_ms();

        if (now_ms - watcher->kept_up_ms >= KEEP_UP_MS) {
                watcher->kept_up_ms = now_ms;
                tell_alive(watcher, now_ms);
                read_changes(watcher, now_ms);
        }
        return is_stopped(watcher);
}

static void pass_progress(const char *what, uint64_t done, uint64_t total, void *userdata) {
        operation_progress(((struct Watcher *) userdata)->given, what, done, total);
}

/* What is wrong with a file is said once for each change of it, not at each look. */
static void pass_notice(const struct Event *event, const char *message, void *userdata) {
        struct Watcher *watcher = userdata;

        if (event->path && !told_is_news(&watcher->told, event->path, message))
                event_debug("As before: %s", message);
        else
                operation_notice(watcher->given, event, "%s", message);
}

static void forget_told(struct Watcher *watcher, const struct Changes *changes) {
        for (size_t i = 0; i < changes->n; i++) {
                const struct ChangedPart *part = &changes->parts[i];
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%s%s%s", watcher->command->layout->sources, part->source,
                            part->path[0] != '\0' ? "/" : "", part->path) >= 0)
                        told_forget(&watcher->told, path);
                else
                        path = NULL; /* then it is said at the next change */
        }
}

/* What systemd and the journal are told. */

static void show_watching(const struct Watcher *watcher, const struct IngestResult *result) {
        uint64_t interval = watcher->command->config->watch_interval;
        char now[RFC3339_SIZE], mode[128];

        rfc3339_format(clock_now(&watcher->command->clock), now);
        if (watcher->limited)
                (void) snprintf(mode, sizeof mode,
                        "Degraded: too many directories to watch, so looking every %" PRIu64 " s",
                        interval);
        else
                (void) snprintf(
                        mode, sizeof mode, "Watching %zu directories", watch_count(watcher->watch));
        notify_status("",
                "%s; last ingest at %s: %" PRIu64 " files seen, %" PRIu64 " indexed, %" PRIu64
                " removed, %zu errors",
                mode, now, result->files_seen, result->files_indexed, result->files_removed,
                result->n_errors);
}

static void report(struct Watcher *watcher, const struct IngestResult *result, bool everything) {
        bool worthwhile = result->files_indexed > 0 || result->files_removed > 0;

        watcher->sum.files_indexed += result->files_indexed;
        watcher->sum.files_removed += result->files_removed;
        watcher->sum.chunks_added += result->chunks_added;
        watcher->sum.chunks_removed += result->chunks_removed;
        watcher->n_errors += result->n_errors;
        progress_clear();
        if (worthwhile)
                ingest_report_done(watcher->command->layout, result,
                        everything ? "all sources" : "what has changed");
        else
                event_debug("Nothing to do in %" PRIu64 " files, %" PRIu64 " ms",
                        result->files_seen, result->duration_ms);
        show_watching(watcher, result);
}

/* Watches. */

static int fail_with(struct Failure *why, struct Failure *failure) {
        int r = -why->error;

        failure_move(failure, why);
        return r < 0 ? r : -EBADMSG;
}

static void tell_watching(struct Watcher *watcher) {
        const struct EventNumber number = { "ATOCORE_DIRECTORIES", watch_count(watcher->watch) };

        event_emit(&(const struct Event){ .id = EVENT_WATCH_STARTED,
                           .path = watcher->command->layout->sources,
                           .numbers = &number,
                           .n_numbers = 1 },
                "Watching %" PRIu64 " directories in %s; looking at everything every %" PRIu64 " s",
                number.value, watcher->command->layout->sources,
                watcher->command->config->watch_interval);
}

/* Each look at everything begins with watches that are new, so that whatever they missed (a limit
 * that was raised, a directory that could not be read) is made up for, and nothing is between them
 * and the look. Without watches it goes on by looking alone. */
static int begin_watching(struct Watcher *watcher, struct Failure *failure) {
        _cleanup_failure_ struct Failure why = { 0 };
        bool was_limited = watcher->limited;
        int r;

        r = watch_begin(watcher->watch, watcher->given, &why);
        if (r < 0 && why.event != EVENT_WATCH_LIMITED)
                return fail_with(&why, failure);
        watcher->limited = r < 0;
        if (watcher->limited && !was_limited)
                event_emit_failure(&why);
        else if (!watcher->limited && (was_limited || !watcher->ready))
                tell_watching(watcher);
        if (!watcher->ready)
                notify_state("READY=1");
        watcher->ready = true;
        return 0;
}

/* The ingest. */

/* A restore or a snapshot that has the locks is waited for, and a restore that was interrupted for
 * its end. */
static bool is_to_wait_for(const struct Failure *why) {
        return why->event == EVENT_LOCK_BUSY || why->event == EVENT_RESTORE_INTERRUPTED;
}

/* Nothing is lost: the changes are still to be ingested. Where setting watches anew takes its time,
 * it is not done all the time. */
static void wait_for_others(
        struct Watcher *watcher, struct Changes *taken, const struct Failure *why) {
        uint64_t now_ms = monotonic_ms();

        progress_clear();
        changes_move(&watcher->changes, taken);
        watcher->not_before_ms = now_ms + RETRY_MS + 10 * (now_ms - watcher->look_ms);
        notify_status("", "Waiting: %s", failure_message(why));
        if (!why->path || !told_is_news(&watcher->told, why->path, failure_message(why)))
                return;
        /* The end of a lock comes by itself; this needs somebody. */
        if (why->event == EVENT_RESTORE_INTERRUPTED)
                event_emit_failure(why);
        else
                event_debug("Waiting: %s", failure_message(why));
}

static int ingest(struct Watcher *watcher, struct Failure *failure) {
        _cleanup_(changes_clear) struct Changes taken = { 0 };
        _cleanup_ingest_result_ struct IngestResult *result = NULL;
        _cleanup_failure_ struct Failure why = { 0 };
        bool everything = watcher->changes.everything;
        int r;

        changes_move(&taken, &watcher->changes);
        forget_told(watcher, &taken);
        if (everything)
                told_begin(&watcher->told);
        r = ingest_changes(&watcher->operation, &taken, &result, &why);
        if (r >= 0) {
                if (everything) {
                        told_end(&watcher->told);
                        (void) malloc_trim(0); /* what knew all documents has gone */
                        watcher->everything_at_ms =
                                monotonic_ms() + watcher->command->config->watch_interval * 1000;
                }
                report(watcher, result, everything);
                return 0;
        }
        if (why.event == EVENT_INTERRUPTED && is_stopped(watcher))
                return 0;
        if (!is_to_wait_for(&why))
                return fail_with(&why, failure);
        wait_for_others(watcher, &taken, &why);
        return 0;
}

static int look(struct Watcher *watcher, struct Failure *failure) {
        int r = 0;

        watcher->look_ms = monotonic_ms();
        if (watcher->changes.everything)
                r = begin_watching(watcher, failure);
        if (r == -EINTR && is_stopped(watcher)) {
                failure_clear(failure);
                return 0;
        }
        return r < 0 ? r : ingest(watcher, failure);
}

/* Waiting. */

static uint64_t earlier(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

static uint64_t due_at(const struct Watcher *watcher) {
        uint64_t due = changes_due(&watcher->changes);

        return due > watcher->not_before_ms ? due : watcher->not_before_ms;
}

/* Until something is to be done. A signal that comes between the question whether there was one and
 * the waiting is not missed: it is let through by ppoll() only. */
static int wait_for_work(const struct Watcher *watcher, bool *ret_mounts_changed) {
        struct pollfd fds[] = {
                { .fd = watch_fd(watcher->watch), .events = POLLIN },
                { .fd = watch_mounts_fd(watcher->watch), .events = POLLPRI },
        };
        uint64_t now_ms = monotonic_ms(), until_ms;
        struct timespec timeout;
        sigset_t stopping, before;
        int r = 0;

        until_ms = earlier(due_at(watcher), watcher->everything_at_ms);
        if (watcher->watchdog_ms > 0)
                until_ms = earlier(until_ms, watcher->alive_ms + watcher->watchdog_ms);
        until_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        timeout = (struct timespec){ .tv_sec = (time_t) (until_ms / 1000),
                .tv_nsec = (long) (until_ms % 1000) * 1000000 };

        (void) sigemptyset(&stopping);
        (void) sigaddset(&stopping, SIGTERM);
        (void) sigaddset(&stopping, SIGINT);
        (void) sigaddset(&stopping, SIGHUP);
        (void) sigprocmask(SIG_BLOCK, &stopping, &before);
        if (!is_stopped(watcher) && ppoll(fds, sizeof fds / sizeof fds[0], &timeout, &before) < 0)
                r = -errno;
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        *ret_mounts_changed = r >= 0 && fds[1].revents != 0;
        return r == -EINTR ? 0 : r;
}

static int work(struct Watcher *watcher, struct Failure *failure) {
        uint64_t now_ms;
        bool mounts_changed;
        int r;

        r = wait_for_work(watcher, &mounts_changed);
        if (r < 0)
                return failure_set(failure, EVENT_INTERNAL_ERROR, -r, NULL,
                        "Cannot wait for changes: %m; please report this");
        now_ms = monotonic_ms();
        tell_alive(watcher, now_ms);
        read_changes(watcher, now_ms);
        if (mounts_changed)
                watch_look_at_mounts(watcher->watch, &watcher->changes, now_ms);
        if (now_ms >= watcher->everything_at_ms) {
                watcher->everything_at_ms =
                        now_ms + watcher->command->config->watch_interval * 1000;
                changes_add_everything(&watcher->changes, now_ms);
        }
        if (is_stopped(watcher) || now_ms < due_at(watcher))
                return 0;
        return look(watcher, failure);
}

/* The whole. */

static int print_sum(const struct Watcher *watcher, struct Failure *failure) {
        const struct IngestResult *sum = &watcher->sum;
        _cleanup_json_ json_object *object = json_object_new_object();

        if (!watcher->command->json)
                return 0;
        if (!object ||
                !json_set(object, "files_indexed", json_object_new_uint64(sum->files_indexed)) ||
                !json_set(object, "files_removed", json_object_new_uint64(sum->files_removed)) ||
                !json_set(object, "chunks_added", json_object_new_uint64(sum->chunks_added)) ||
                !json_set(object, "chunks_removed", json_object_new_uint64(sum->chunks_removed)) ||
                !json_set(object, "errors", json_object_new_uint64(watcher->n_errors)))
                return failure_out_of_memory(failure);
        return op_print_json(STEAL(object), failure);
}

static int run(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        _cleanup_(watcher_clear) struct Watcher watcher = {
                .command = command,
                .given = operation,
                .operation = *operation,
                .everything_at_ms = UINT64_MAX,
                .watchdog_ms = notify_watchdog_ms(),
        };
        int r;

        (void) userdata;
        watcher.operation.lock_wait = 0; /* the loop here does the waiting */
        watcher.operation.cancelled = keep_up;
        watcher.operation.progress = pass_progress;
        watcher.operation.notice = pass_notice;
        watcher.operation.userdata = &watcher;
        r = watch_new(command->layout, &watcher.watch, failure);
        if (r < 0)
                return r;

        changes_add_everything(&watcher.changes, monotonic_ms());
        r = look(&watcher, failure);
        while (r >= 0 && !is_stopped(&watcher))
                r = work(&watcher, failure);
        notify_status("STOPPING=1\n", "Stopping");
        if (r < 0)
                return r;
        event_emit(&(const struct Event){ .id = EVENT_WATCH_STOPPED,
                           .path = command->layout->sources },
                "No longer watching %s", command->layout->sources);
        return print_sum(&watcher, failure);
}

int main(int argc, char *argv[]) {
        const struct Op op = {
                .program = {
                        .name = "atocore-watch",
                        .summary = "Index what changes in the sources, as soon as it does",
                },
                .run = run,
        };

        return op_main(&op, argc, argv);
}
