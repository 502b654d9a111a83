/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ops/op.h"

#include <errno.h>
#include <json-c/json.h>
#include <malloc.h>
#include <signal.h>

#include "lib/base/event.h"
#include "lib/command/notify.h"
#include "lib/command/progress.h"

/* What is larger is given back as soon as it is freed. malloc() would raise this itself, to the
 * size of the largest block that was ever freed, and keep all below that on a heap full of holes:
 * how much an ingest takes would be a matter of the order of its files, and of the C library. */
#define MMAP_THRESHOLD (128 << 10)

/* Signals reach a process, not an object: the one thing here that is not passed. */
static volatile sig_atomic_t stop_requested;

static void request_stop(int signal) {
        (void) signal;
        stop_requested = 1;
}

static bool cancelled(void *userdata) {
        (void) userdata;
        return stop_requested != 0;
}

/* Without SA_RESTART: who waits in the kernel wakes up with EINTR and looks. What was ignored from
 * the start (nohup(1), a shell's background job) stays so. */
static void catch_signals(void) {
        static const int stopping[] = { SIGTERM, SIGINT, SIGHUP };
        const struct sigaction stop = { .sa_handler = request_stop };
        sigset_t ours;

        (void) sigemptyset(&ours);
        for (size_t i = 0; i < sizeof stopping / sizeof stopping[0]; i++) {
                struct sigaction inherited;

                (void) sigaddset(&ours, stopping[i]);
                if (sigaction(stopping[i], NULL, &inherited) == 0 &&
                        inherited.sa_handler != SIG_IGN)
                        (void) sigaction(stopping[i], &stop, NULL);
        }
        (void) sigprocmask(SIG_UNBLOCK, &ours, NULL);
}

static void show_progress(const char *what, uint64_t done, uint64_t total, void *userdata) {
        (void) userdata;
        progress_update(what, done, total);
        notify_progress(what, done, total);
}

static void report_notice(const struct Event *event, const char *message, void *userdata) {
        (void) userdata;
        event_emit(event, "%s", message);
}

static int run(const struct Op *op, struct Command *command, struct Failure *failure) {
        struct Operation operation = {
                .layout = command->layout,
                .config = command->config,
                .clock = &command->clock,
                .program = op->program.name,
                .lock_wait = command->config->lock_wait,
                .cancelled = cancelled,
                .progress = show_progress,
                .notice = report_notice,
        };
        int r, r_output;

        r = command_assume_identity(command->layout, failure);
        if (r < 0)
                return r;
        if (command->verbosity != VERBOSITY_QUIET)
                progress_enable();

        r = op->run(command, &operation, op->userdata, failure);
        progress_clear();
        /* What a failed operation printed before is flushed as well; its own failure stays. */
        r_output = command_flush(failure);
        return r < 0 ? r : r_output;
}

/* Whoever failed without a word is a mistake of ours, and told as one. */
static void complete(struct Failure *failure, int r) {
        if (failure_is_set(failure))
                return;
        if (r == -ENOMEM)
                (void) failure_out_of_memory(failure);
        else
                (void) failure_set(failure, EVENT_INTERNAL_ERROR, -r, NULL,
                        "Failed without giving a reason: %m; please report this");
}

static int report(struct Failure *failure, int r) {
        int status;

        complete(failure, r);
        event_emit_failure(failure);
        status = event_exit_status(failure->event);
        return status != 0 ? status : EX_SOFTWARE;
}

int op_main(const struct Op *op, int argc, char *argv[]) {
        _cleanup_command_ struct Command command = { 0 };
        _cleanup_failure_ struct Failure failure = { 0 };
        enum CommandStep step;
        int r, status;

        (void) mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        catch_signals();
        r = command_prepare(&op->program, argc, argv, op->userdata, &command, &step, &failure);
        if (r >= 0 && step == COMMAND_RUN)
                r = run(op, &command, &failure);
        status = r < 0 ? report(&failure, r) : 0;
        event_flush();
        return status;
}

int op_print_json(struct json_object *object, struct Failure *failure) {
        const char *text;

        if (!object)
                return failure_out_of_memory(failure);
        text = json_object_to_json_string_ext(
                object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
        if (text) {
                (void) fputs(text, stdout);
                (void) fputc('\n', stdout);
        }
        (void) json_object_put(object);
        return text ? command_flush(failure) : failure_out_of_memory(failure);
}
