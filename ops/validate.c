/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * atocore-validate: are snapshots still what they were when they were made?
 */

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "lib/backup/archive-check.h"
#include "lib/backup/check.h"
#include "lib/backup/safety-seal.h"
#include "lib/backup/snapshot.h"
#include "lib/backup/staging.h"
#include "lib/base/text.h"
#include "ops/op.h"

/* Findings that are told in the one sentence of an event; --json and stdout tell all. */
#define SENTENCE_FINDINGS 3

/* A snapshot or an archive. */
struct Target {
        char stamp[STAMP_SIZE];
        char *archive; /* its path; NULL: a snapshot */
};

struct Validation {
        bool all;               /* --all */
        bool deep;              /* --deep */
        const char *identity;   /* --identity */
        json_object *reports;   /* for --json */
        struct Target *targets; /* what to validate */
        size_t n_targets;
};

static void targets_free(struct Validation *validation) {
        for (size_t i = 0; i < validation->n_targets; i++)
                free(validation->targets[i].archive);
        free(validation->targets);
}

static const char *kind_of(const struct Target *target) {
        return target->archive ? "Archive" : "Snapshot";
}

static const char *name_of(const struct Target *target) {
        return target->archive ? target->archive : target->stamp;
}

static int parse_all(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        (void) failure;
        ((struct Validation *) userdata)->all = true;
        return 0;
}

static int parse_deep(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        (void) failure;
        ((struct Validation *) userdata)->deep = true;
        return 0;
}

static int parse_identity(const char *argument, void *userdata, struct Failure *failure) {
        (void) failure;
        ((struct Validation *) userdata)->identity = argument;
        return 0;
}

static int resolve_latest(
        struct Command *command, char ret_stamp[STAMP_SIZE], struct Failure *failure) {
        size_t skipped = 0;
        int r;

        r = snapshot_latest(
                command->layout, clock_now(&command->clock), ret_stamp, &skipped, failure);
        if (r >= 0 && skipped > 0)
                event_emit(&(struct Event){ .id = EVENT_SNAPSHOT_IN_FUTURE,
                                   .path = command->layout->snapshots },
                        "%zu snapshot%s stamped later than now and passed over for %s; check the "
                        "clock",
                        skipped, skipped == 1 ? " is" : "s are", ret_stamp);
        return r;
}

static int resolve_all(
        struct Command *command, struct Validation *validation, struct Failure *failure) {
        struct Snapshot **snapshots;
        size_t n;
        int r;

        r = staging_check_root(command->layout, failure);
        if (r < 0)
                return r;
        r = snapshot_list(command->layout, &snapshots, &n, failure);
        if (r < 0)
                return r;
        validation->targets = calloc(n + 1, sizeof *validation->targets);
        for (size_t i = 0; validation->targets && i < n; i++)
                memcpy(validation->targets[validation->n_targets++].stamp, snapshots[i]->stamp,
                        STAMP_SIZE);
        snapshot_list_free(snapshots, n);
        return validation->targets ? 0 : failure_out_of_memory(failure);
}

static int resolve(
        struct Command *command, struct Validation *validation, struct Failure *failure) {
        static const char *const latest[] = { "latest", NULL };
        const char *const *names =
                command->n_arguments > 0 ? (const char *const *) command->arguments : latest;
        size_t n = command->n_arguments > 0 ? command->n_arguments : 1;

        if (validation->all && command->n_arguments > 0)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "--all validates every snapshot; give it or stamps, not both");
        if (validation->all)
                return resolve_all(command, validation, failure);
        validation->targets = calloc(n, sizeof *validation->targets);
        if (!validation->targets)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < n; i++) {
                struct Target *target = &validation->targets[validation->n_targets];
                char *stamp = target->stamp;

                if (strcmp(names[i], "latest") == 0) {
                        int r = resolve_latest(command, stamp, failure);
                        if (r < 0)
                                return r;
                } else if (stamp_is_valid(names[i]))
                        memcpy(stamp, names[i], STAMP_SIZE);
                else if (archive_is_name(names[i])) {
                        target->archive = archive_find(command->layout, names[i]);
                        if (!target->archive)
                                return failure_out_of_memory(failure);
                } else
                        return failure_set(failure, EVENT_STAMP_INVALID, EINVAL, NULL,
                                "\"%s\" is no stamp; give one like 20260407T060000Z, latest, or an "
                                "archive",
                                names[i]);
                validation->n_targets++;
        }
        return 0;
}

/* "a; b; and 7 more": the findings of one severity. NULL when memory ran out. */
static char *sentence(const struct CheckReport *report, enum FindingSeverity severity) {
        char *text = strdup("");
        size_t told = 0, more = 0;

        for (size_t i = 0; text && i < report->n_findings; i++) {
                _cleanup_free_ char *before = text, *finding = NULL;

                if (report->findings[i].severity != severity) {
                        before = NULL;
                        continue;
                }
                if (told == SENTENCE_FINDINGS) {
                        before = NULL;
                        more++;
                        continue;
                }
                finding = finding_text(&report->findings[i]);
                if (!finding || asprintf(&text, "%s%s%s", before, told ? "; " : "", finding) < 0)
                        text = NULL;
                told++;
        }
        if (text && more > 0) {
                _cleanup_free_ char *before = text;
                if (asprintf(&text, "%s; and %zu more", before, more) < 0)
                        text = NULL;
        }
        return text;
}

static const struct Finding *first_of(
        const struct CheckReport *report, enum FindingSeverity severity) {
        for (size_t i = 0; i < report->n_findings; i++)
                if (report->findings[i].severity == severity)
                        return &report->findings[i];
        return NULL;
}

/* The verdict as the failure that it is: SNAPSHOT_INVALID with the code of the first finding, or
 * SNAPSHOT_NOT_FOUND. */
static int verdict_failure(
        const struct Target *target, const struct CheckReport *report, struct Failure *failure) {
        const struct Finding *first = first_of(report, SEVERITY_ERROR);
        _cleanup_free_ char *findings = sentence(report, SEVERITY_ERROR);
        bool missing = first->code == FINDING_SNAPSHOT_DIRECTORY_MISSING;

        if (!findings)
                return failure_out_of_memory(failure);
        failure_set_stamp(failure, report->stamp);
        failure->code = finding_code_name(first->code);
        return failure_set(failure, missing ? EVENT_SNAPSHOT_NOT_FOUND : EVENT_SNAPSHOT_INVALID, 0,
                target->archive ? target->archive : first->path, "%s %s is not valid: %s; %s",
                kind_of(target), name_of(target), findings, first->action);
}

static int emit_warnings(const struct CheckReport *report, struct Failure *failure) {
        const struct Finding *first = first_of(report, SEVERITY_WARNING);
        _cleanup_free_ char *findings = first ? sentence(report, SEVERITY_WARNING) : NULL;

        if (!first)
                return 0;
        if (!findings)
                return failure_out_of_memory(failure);
        event_emit(&(struct Event){ .id = EVENT_SNAPSHOT_WARNING,
                           .stamp = report->stamp,
                           .path = first->path,
                           .code = finding_code_name(first->code) },
                "Snapshot %s: %s; %s", report->stamp, findings, first->action);
        return 0;
}

static void emit_valid(const struct Target *target, const struct CheckReport *report) {
        struct EventNumber numbers[] = {
                { "ATOCORE_BYTES", report->bytes },
                { "ATOCORE_FILES", report->files },
                { "ATOCORE_DURATION_MS", report->duration_ms },
        };

        event_emit(&(struct Event){ .id = EVENT_SNAPSHOT_VALID,
                           .stamp = report->stamp,
                           .path = target->archive,
                           .numbers = numbers,
                           .n_numbers = sizeof numbers / sizeof numbers[0] },
                "%s %s is valid: %" PRIu64 " bytes in %" PRIu64 " files, %" PRIu64 " ms",
                kind_of(target), name_of(target), report->bytes, report->files,
                report->duration_ms);
}

/* Each snapshot that is not valid, not there or not to be read is one event; that of one of them is
 * what the program ends with, and an invalid one weighs most. */
static void keep_worse(struct Failure *kept, struct Failure *other) {
        if (kept->event != EVENT_SNAPSHOT_INVALID || other->event == EVENT_SNAPSHOT_INVALID) {
                struct Failure swapped = *kept;
                *kept = *other;
                *other = swapped;
        }
        if (failure_is_set(other))
                event_emit_failure(other);
}

static void print_findings(const struct Target *target, const struct CheckReport *report) {
        _cleanup_free_ char *name = text_escape(name_of(target));

        printf("%s  %s\n", name ? name : "?", report->valid ? "valid" : "NOT VALID");
        for (size_t i = 0; i < report->n_findings; i++) {
                const struct Finding *finding = &report->findings[i];
                _cleanup_free_ char *path = text_escape(finding->path ? finding->path : "-");
                _cleanup_free_ char *detail = text_escape(finding->detail ? finding->detail : "");

                printf("  %-7s  %-27s  %s%s%s\n",
                        finding->severity == SEVERITY_ERROR ? "error" : "warning",
                        finding_code_name(finding->code), path ? path : "?",
                        detail && detail[0] ? ": " : "", detail ? detail : "");
        }
}

/* What would keep us from the next one as well. */
static bool ends_all(int r, const struct Failure *why) {
        return r == -ENOMEM || r == -EINTR || r == -EAGAIN ||
                (r < 0 && why->event == EVENT_RESTORE_INTERRUPTED);
}

/* Snapshots are always looked at in depth. */
static int check(const struct Operation *operation, const struct Validation *validation,
        const struct Target *target, struct CheckReport **ret_report, struct Failure *failure) {
        if (!target->archive)
                return check_snapshot(operation, target->stamp, ret_report, failure);
        return (validation->deep ? archive_check_deep : archive_check)(
                operation, target->archive, validation->identity, ret_report, failure);
}

static int validate_one(struct Command *command, const struct Operation *operation,
        const struct Target *target, struct Validation *validation, struct Failure *worst,
        struct Failure *failure) {
        _cleanup_check_report_ struct CheckReport *report = NULL;
        _cleanup_failure_ struct Failure why = { 0 };
        int r;

        r = check(operation, validation, target, &report, &why);
        if (ends_all(r, &why)) {
                failure_move(failure, &why);
                return r;
        }
        if (r < 0) { /* the others can still be told */
                keep_worse(worst, &why);
                return 0;
        }
        if (command->json) {
                json_object *json = check_report_to_json(report);

                if (!json || json_object_array_add(validation->reports, json) < 0) {
                        json_object_put(json);
                        return failure_out_of_memory(failure);
                }
        } else if (report->n_findings > 0) /* an event says the rest */
                print_findings(target, report);
        r = emit_warnings(report, failure);
        if (r < 0)
                return r;
        if (report->valid)
                emit_valid(target, report);
        else {
                _cleanup_failure_ struct Failure verdict = { 0 };

                if (verdict_failure(target, report, &verdict) == -ENOMEM)
                        return failure_out_of_memory(failure);
                keep_worse(worst, &verdict);
        }
        return 0;
}

static int print_reports(
        const struct Validation *validation, size_t n_asked, struct Failure *failure) {
        json_object *object;

        if (!validation->all && n_asked == 1 && json_object_array_length(validation->reports) == 0)
                return 0; /* why is said elsewhere */
        if (!validation->all && n_asked == 1)
                return op_print_json(
                        json_object_get(json_object_array_get_idx(validation->reports, 0)),
                        failure);
        object = json_object_new_object();
        if (object &&
                json_object_object_add(object, "snapshots", json_object_get(validation->reports)) <
                        0) {
                json_object_put(object);
                object = NULL;
        }
        return op_print_json(object, failure);
}

static void emit_started(const struct Command *command, const struct Validation *validation) {
        const struct Target *archive = NULL;
        size_t snapshots = 0, archives = 0;
        struct Event event = { .id = EVENT_VALIDATE_STARTED, .path = command->layout->snapshots };

        for (size_t i = 0; i < validation->n_targets; i++)
                if (!validation->targets[i].archive)
                        snapshots++;
                else if (archives++ == 0)
                        archive = &validation->targets[i];
        if (archives == 0)
                event_emit(&event, "Validating %zu snapshot%s in %s", snapshots,
                        snapshots == 1 ? "" : "s", command->layout->snapshots);
        else if (snapshots > 0)
                event_emit(&event, "Validating %zu snapshot%s in %s, and %zu archive%s", snapshots,
                        snapshots == 1 ? "" : "s", command->layout->snapshots, archives,
                        archives == 1 ? "" : "s");
        else {
                event.path = archive->archive;
                event_emit(&event, "Validating %zu archive%s", archives, archives == 1 ? "" : "s");
        }
}

/* What is wrong with one safety snapshot says nothing of the others. */
static int seal_safety(
        const struct Operation *operation, struct Failure *worst, struct Failure *failure) {
        _cleanup_failure_ struct Failure why = { 0 };
        int r = safety_seal_all(operation, &why);

        if (ends_all(r, &why)) {
                failure_move(failure, &why);
                return r;
        }
        if (r < 0)
                keep_worse(worst, &why);
        return 0;
}

static int validate(struct Command *command, struct Operation *operation,
        struct Validation *validation, struct Failure *failure) {
        _cleanup_failure_ struct Failure worst = { 0 };
        int r;

        r = resolve(command, validation, failure);
        if (r < 0)
                return r;
        emit_started(command, validation);
        for (size_t i = 0; i < validation->n_targets && r >= 0; i++) {
                operation_progress(operation, "Validating", i, validation->n_targets);
                r = validate_one(
                        command, operation, &validation->targets[i], validation, &worst, failure);
        }
        if (r >= 0 && validation->all)
                r = seal_safety(operation, &worst, failure);
        if (r < 0) {
                if (failure_is_set(&worst)) /* found before we were stopped */
                        event_emit_failure(&worst);
                return r;
        }
        if (command->json) {
                r = print_reports(validation, validation->n_targets, failure);
                if (r < 0)
                        return r;
        }
        if (!failure_is_set(&worst))
                return 0;
        failure_move(failure, &worst);
        return -EBADMSG;
}

static int run(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        struct Validation *validation = userdata;
        int r;

        validation->reports = json_object_new_array();
        r = validation->reports ? validate(command, operation, validation, failure)
                                : failure_out_of_memory(failure);
        json_object_put(validation->reports);
        targets_free(validation);
        return r;
}

int main(int argc, char *argv[]) {
        static const struct Option options[] = {
                { .name = "all", .help = "Validate every snapshot", .parse = parse_all },
                { .name = "deep",
                        .help = "Unpack archives to check their database too",
                        .parse = parse_deep },
                { .name = "identity",
                        .argument = "FILE",
                        .help = "Key of archives that are encrypted",
                        .parse = parse_identity },
                { 0 },
        };
        static struct Validation validation;
        const struct Op op = {
                .program = { .name = "atocore-validate",
                        .summary = "Check that snapshots and archives are whole and unchanged",
                        .arguments = "[STAMP|latest|ARCHIVE …]",
                        .options = options },
                .run = run,
                .userdata = &validation,
        };

        return op_main(&op, argc, argv);
}
