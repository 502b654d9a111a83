/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * atocore-restore: put a snapshot in the place of the live data, undo that, or end one that was
 * interrupted.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/archive-check.h"
#include "lib/backup/restore-safety.h"
#include "lib/backup/restore.h"
#include "lib/backup/snapshot.h"
#include "ops/op.h"

#define WAIT_MAX 86400

enum Action {
        ACTION_RESTORE,
        ACTION_ROLLBACK,
        ACTION_RESUME,
};

struct Arguments {
        enum Action action;
        const char *to;
        bool wait_given;
        uint64_t wait;
        struct RestoreOptions options;
};

static int parse_to(const char *argument, void *userdata, struct Failure *failure) {
        struct Arguments *given = userdata;

        if (argument[0] == '\0')
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "--to needs a directory: the storage root to restore into");
        given->to = argument;
        return 0;
}

static int parse_dry_run(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        (void) failure;
        ((struct Arguments *) userdata)->options.dry_run = true;
        return 0;
}

static int parse_force(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        (void) failure;
        ((struct Arguments *) userdata)->options.force = true;
        return 0;
}

static int parse_query(const char *argument, void *userdata, struct Failure *failure) {
        (void) failure;
        ((struct Arguments *) userdata)->options.query = argument;
        return 0;
}

static int parse_identity(const char *argument, void *userdata, struct Failure *failure) {
        (void) failure;
        ((struct Arguments *) userdata)->options.identity = argument;
        return 0;
}

static int parse_wait(const char *argument, void *userdata, struct Failure *failure) {
        struct Arguments *given = userdata;

        given->wait_given = true;
        return option_parse_number("wait", argument, 0, WAIT_MAX, &given->wait, failure);
}

static int choose(struct Arguments *given, enum Action action, struct Failure *failure) {
        if (given->action != ACTION_RESTORE)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "Only one of --rollback and --resume can be given, and once");
        given->action = action;
        return 0;
}

static int parse_rollback(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        return choose(userdata, ACTION_ROLLBACK, failure);
}

static int parse_resume(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        return choose(userdata, ACTION_RESUME, failure);
}

static int check_usage(
        const struct Command *command, const struct Arguments *given, struct Failure *failure) {
        size_t n = command->n_arguments;

        if (given->action == ACTION_RESTORE && n != 1)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        n == 0 ? "Say what to restore: a stamp (atocore-backup --list shows them), "
                                 "\"latest\" or an archive"
                               : "Only one snapshot can be restored at a time");
        if (given->action == ACTION_RESUME && (n > 0 || given->options.dry_run))
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "--resume ends what was begun, and takes neither an argument nor "
                        "--dry-run");
        if (given->action == ACTION_ROLLBACK && n > 1)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "--rollback takes one stamp of backups/pre-restore at most");
        if (given->action != ACTION_RESTORE && given->to)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "--to does not go with --rollback and --resume; name the root with --root");
        return 0;
}

/* The root of --to, which may still have to be made, as an absolute path. */
static int layout_of(const char *path, struct Layout **ret_layout, struct Failure *failure) {
        _cleanup_free_ char *here = NULL, *absolute = NULL;
        int r;

        if (path[0] != '/') {
                here = getcwd(NULL, 0);
                if (!here)
                        return failure_set_read(failure, errno, ".", "find out the path of");
                if (asprintf(&absolute, "%s/%s", here, path) < 0) {
                        absolute = NULL;
                        return failure_out_of_memory(failure);
                }
                path = absolute;
        }
        r = layout_new(path, ret_layout);
        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        return r < 0
                ? failure_set(failure, EVENT_USAGE, EINVAL, path,
                          "%s cannot be a storage root; give another directory with --to", path)
                : 0;
}

/* The stamp that "latest" stands for, and that of the newest safety snapshot. */
static int resolve_latest(
        const struct Command *command, char ret_stamp[STAMP_SIZE], struct Failure *failure) {
        size_t skipped = 0;
        int r = snapshot_latest(
                command->layout, clock_now(&command->clock), ret_stamp, &skipped, failure);

        if (r >= 0 && skipped > 0)
                event_emit(
                        &(const struct Event){ .id = EVENT_SNAPSHOT_IN_FUTURE, .stamp = ret_stamp },
                        "%zu snapshots are dated later than now and do not count as the latest; "
                        "check the clock",
                        skipped);
        return r;
}

static int newest_safety(
        const struct Layout *layout, char ret_stamp[STAMP_SIZE], struct Failure *failure) {
        _cleanup_free_ char(*stamps)[STAMP_SIZE] = NULL;
        size_t n;
        int r;

        r = restore_safety_list(layout, &stamps, &n, failure);
        if (r < 0)
                return r;
        if (n == 0)
                return failure_set(failure, EVENT_SNAPSHOT_NOT_FOUND, ENOENT, layout->pre_restore,
                        "There is nothing to go back to in %s: no restore replaced anything here",
                        layout->pre_restore);
        memcpy(ret_stamp, stamps[n - 1], STAMP_SIZE);
        return 0;
}

static void print_steps(const struct Restore *restore) {
        printf("%-9s  %-12s  %14s  %s\n", "ACTION", "WHAT", "BYTES", "PATH");
        for (size_t i = 0; i < restore->n_steps; i++) {
                const struct RestoreStep *step = &restore->steps[i];

                printf("%-9s  %-12s  %14" PRIu64 "  %s\n", restore_verb_name(step->verb),
                        step->what, step->bytes, step->target);
        }
}

static int report(const struct Command *command, const struct Layout *layout,
        const struct Restore *restore, struct Failure *failure) {
        const struct EventNumber number = { "ATOCORE_DURATION_MS", restore->duration_ms };
        const struct Event event = { .id = EVENT_RESTORE_DONE,
                .stamp = restore->stamp,
                .path = layout->root,
                .numbers = &number,
                .n_numbers = 1 };

        if (restore->dry_run) {
                event_emit(&event, "Nothing was touched: %s could be restored into %s",
                        restore->source, layout->root);
                if (!command->json)
                        print_steps(restore);
        } else if (restore->undone)
                event_emit(&event,
                        "The interrupted restore of %s into %s is undone, %" PRIu64
                        " ms: all is as it was before",
                        restore->source, layout->root, number.value);
        else if (restore->safety[0])
                event_emit(&event,
                        "%s is restored and proven in %s, %" PRIu64
                        " ms; what was there before is backups/pre-restore/%s (undo: "
                        "atocore-restore --rollback)",
                        restore->source, layout->root, number.value, restore->safety);
        else
                event_emit(&event,
                        "%s is restored and proven in %s, %" PRIu64 " ms; nothing was there before",
                        restore->source, layout->root, number.value);
        return command->json ? op_print_json(restore_to_json(restore, layout), failure) : 0;
}

static int start(struct Command *command, struct Operation *operation,
        struct RestoreOptions *options, struct Failure *failure) {
        _cleanup_restore_ struct Restore *restore = NULL;
        const char *source = options->archive ? options->archive
                : options->safety             ? options->safety
                                              : options->stamp;
        int r;

        event_emit(&(const struct Event){ .id = EVENT_RESTORE_STARTED,
                           .stamp = options->safety ? options->safety : options->stamp,
                           .path = operation->layout->root },
                "%s %s%s into %s", options->dry_run ? "Planning to restore" : "Restoring",
                options->safety ? "the safety snapshot " : "", source, operation->layout->root);
        r = restore_run(operation, options, &restore, failure);
        return r < 0 ? r : report(command, operation->layout, restore, failure);
}

/* A restore that was interrupted is what is undone first. */
static int end_interrupted(struct Command *command, struct Operation *operation,
        const struct Arguments *given, bool *ret_ended, struct Failure *failure) {
        _cleanup_restore_ struct Restore *restore = NULL;
        bool undo = given->action == ACTION_ROLLBACK;
        int r;

        event_emit(&(const struct Event){ .id = EVENT_RESTORE_STARTED,
                           .path = operation->layout->root },
                "%s what was interrupted in %s", undo ? "Undoing" : "Resuming",
                operation->layout->root);
        r = restore_resume(operation, undo, &restore, failure);
        *ret_ended = restore != NULL;
        return r < 0 || !restore ? r : report(command, operation->layout, restore, failure);
}

static int resume(struct Command *command, struct Operation *operation,
        const struct Arguments *given, struct Failure *failure) {
        bool ended;
        int r = end_interrupted(command, operation, given, &ended, failure);

        if (r < 0 || ended)
                return r;
        event_emit(
                &(const struct Event){ .id = EVENT_RESTORE_DONE, .path = operation->layout->root },
                "No restore was interrupted in %s: nothing to do", operation->layout->root);
        return command->json
                ? op_print_json(
                          restore_to_json(&(const struct Restore){ 0 }, operation->layout), failure)
                : 0;
}

static int roll_back(struct Command *command, struct Operation *operation, struct Arguments *given,
        struct Failure *failure) {
        char stamp[STAMP_SIZE];
        bool ended = false;
        int r = 0;

        if (access(operation->layout->restore_journal, F_OK) >= 0)
                r = end_interrupted(command, operation, given, &ended, failure);
        if (r < 0 || ended)
                return r;
        given->options.safety = command->arguments[0];
        if (!given->options.safety) {
                r = newest_safety(operation->layout, stamp, failure);
                if (r < 0)
                        return r;
                given->options.safety = stamp;
        }
        given->options.from = operation->layout;
        given->options.force = true;
        return start(command, operation, &given->options, failure);
}

static int restore(struct Command *command, struct Operation *operation, struct Arguments *given,
        struct Failure *failure) {
        const char *source = command->arguments[0];
        _cleanup_layout_ struct Layout *to = NULL;
        _cleanup_free_ char *archive = NULL;
        char stamp[STAMP_SIZE];
        int r;

        given->options.from = command->layout;
        if (archive_is_name(source)) {
                archive = archive_find(command->layout, source);
                if (!archive)
                        return failure_out_of_memory(failure);
                given->options.archive = archive;
        } else if (strcmp(source, "latest") == 0) {
                r = resolve_latest(command, stamp, failure);
                if (r < 0)
                        return r;
                given->options.stamp = stamp;
        } else
                given->options.stamp = source;
        if (given->to) {
                r = layout_of(given->to, &to, failure);
                if (r < 0)
                        return r;
                operation->layout = to;
        }
        return start(command, operation, &given->options, failure);
}

static int run(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        struct Arguments *given = userdata;
        int r = check_usage(command, given, failure);

        if (r < 0)
                return r;
        if (given->wait_given)
                operation->lock_wait = given->wait;
        if (!given->options.query && command->config->drill_query[0])
                given->options.query = command->config->drill_query;
        switch (given->action) {
        case ACTION_RESUME:
                return resume(command, operation, given, failure);
        case ACTION_ROLLBACK:
                return roll_back(command, operation, given, failure);
        case ACTION_RESTORE:
                break;
        }
        return restore(command, operation, given, failure);
}

int main(int argc, char *argv[]) {
        static const struct Option options[] = {
                { .name = "to",
                        .argument = "DIR",
                        .help = "Restore into this storage root instead; made when absent",
                        .parse = parse_to },
                { .name = "dry-run",
                        .help = "Validate, print each step, touch nothing",
                        .parse = parse_dry_run },
                { .name = "rollback",
                        .help = "Undo the last restore, or an interrupted one",
                        .parse = parse_rollback },
                { .name = "resume",
                        .help = "Finish a restore that was interrupted",
                        .parse = parse_resume },
                { .name = "force",
                        .help = "Restore a snapshot of another host, too",
                        .parse = parse_force },
                { .name = "query",
                        .argument = "TEXT",
                        .help = "What the restored data must find (default: drill_query=)",
                        .parse = parse_query },
                { .name = "identity",
                        .argument = "FILE",
                        .help = "Secret key of an archive that is encrypted",
                        .parse = parse_identity },
                { .name = "wait",
                        .argument = "SEC",
                        .help = "Wait that long for whoever uses the live data",
                        .parse = parse_wait },
                { 0 },
        };
        static struct Arguments given;
        const struct Op op = {
                .program = { .name = "atocore-restore",
                        .summary = "Put a snapshot in the place of the live data, or undo that",
                        .arguments = "[STAMP|latest|ARCHIVE]",
                        .options = options },
                .run = run,
                .userdata = &given,
        };

        return op_main(&op, argc, argv);
}
