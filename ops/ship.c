/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * atocore-ship: copies off the machine; list them, read them back, fetch one.
 */

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "lib/backup/ship.h"
#include "lib/backup/state.h"
#include "lib/base/json-build.h"
#include "lib/base/json-document.h"
#include "lib/base/text.h"
#include "ops/op.h"

enum Action {
        ACTION_SHIP,
        ACTION_LIST,
        ACTION_VERIFY,
        ACTION_FETCH,
};

struct Arguments {
        enum Action action;
        const char *stamp; /* to fetch */
        bool dry_run;
};

static int choose(
        struct Arguments *given, enum Action action, const char *stamp, struct Failure *failure) {
        if (given->action != ACTION_SHIP)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "Only one of --list, --verify and --fetch can be given");
        given->action = action;
        given->stamp = stamp;
        return 0;
}

static int parse_list(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        return choose(userdata, ACTION_LIST, NULL, failure);
}

static int parse_verify(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        return choose(userdata, ACTION_VERIFY, NULL, failure);
}

static int parse_fetch(const char *argument, void *userdata, struct Failure *failure) {
        return choose(userdata, ACTION_FETCH, argument, failure);
}

static int parse_dry_run(const char *argument, void *userdata, struct Failure *failure) {
        (void) argument;
        (void) failure;
        ((struct Arguments *) userdata)->dry_run = true;
        return 0;
}

/* Sending. */

static void print_entries(const struct ShipResult *result) {
        printf("%-34s  %s\n", "HERE", "VERDICT");
        for (size_t i = 0; i < result->n_entries; i++)
                printf("%-34s  %s\n", result->entries[i].item.name,
                        ship_verdict_name(result->entries[i].verdict));
        for (size_t i = 0; result->plan && i < result->plan->n_entries; i++)
                if (result->plan->entries[i].verdict == RETENTION_DELETE)
                        printf("%-34s  %s\n", result->plan->entries[i].name, "not kept there");
}

static void report_done(const struct ShipResult *result) {
        const uint64_t sent = ship_count(result, SHIP_SEND, true);
        const uint64_t there = ship_count(result, SHIP_THERE, false);
        const struct EventNumber numbers[] = {
                { "ATOCORE_SENT", sent },
                { "ATOCORE_DELETED", result->deleted },
                { "ATOCORE_BYTES", result->bytes_sent },
                { "ATOCORE_DURATION_MS", result->duration_ms },
        };
        const struct Event event = { .id = EVENT_SHIP_DONE,
                .path = result->place,
                .numbers = numbers,
                .n_numbers = sizeof numbers / sizeof numbers[0] };

        if (result->dry_run)
                event_emit(&event,
                        "To %s: %zu would be sent, %zu read back, %" PRIu64
                        " are there; nothing was touched",
                        result->place, ship_count(result, SHIP_SEND, false),
                        ship_count(result, SHIP_VERIFY, false), there);
        else
                event_emit(&event,
                        "To %s: %" PRIu64 " sent, %" PRIu64 " bytes; %zu of earlier runs read "
                        "back; %" PRIu64 " were there; %" PRIu64 " deleted there; %" PRIu64 " ms",
                        result->place, sent, result->bytes_sent,
                        ship_count(result, SHIP_VERIFY, true), there, result->deleted,
                        result->duration_ms);
}

static int ship(struct Command *command, struct Operation *operation, const struct Offsite *offsite,
        const struct Arguments *given, struct Failure *failure) {
        const struct ShipOptions options = {
                .stamps = command->arguments,
                .n_stamps = command->n_arguments,
                .dry_run = given->dry_run,
        };
        _cleanup_ship_result_ struct ShipResult *result = NULL;
        int r, r_print = 0;

        event_emit(&(const struct Event){ .id = EVENT_SHIP_STARTED, .path = offsite->shown },
                "%s %ss of %s to %s", given->dry_run ? "Planning to send" : "Sending",
                offsite_noun(offsite), command->layout->root, offsite->shown);
        r = ship_run(operation, offsite, &options, &result, failure);
        if (!result)
                return r;
        if (command->json)
                r_print = op_print_json(ship_result_to_json(result), failure);
        else if (given->dry_run && command->verbosity != VERBOSITY_QUIET)
                print_entries(result);
        if (r >= 0)
                report_done(result);
        return r < 0 ? r : r_print;
}

/* What is there. */

static json_object *copy_to_json(const struct OffsiteCopy *copy, const char *verified_at) {
        _cleanup_json_ json_object *object = json_object_new_object();

        if (!object || !json_set(object, "stamp", json_object_new_string(copy->stamp)) ||
                !json_set(object, "name", json_object_new_string(copy->name)) ||
                !json_set(object, "bytes", json_object_new_uint64(copy->bytes)) ||
                !json_set(object, "id", json_object_new_string(copy->id)) ||
                !json_set(object, "own", json_object_new_boolean(copy->own)))
                return NULL;
        if (json_object_object_add(
                    object, "host", copy->host ? json_object_new_string(copy->host) : NULL) < 0 ||
                json_object_object_add(object, "verified_at",
                        verified_at ? json_object_new_string(verified_at) : NULL) < 0)
                return NULL;
        return STEAL(object);
}

static void print_copy(const struct OffsiteCopy *copy, const char *verified_at) {
        _cleanup_free_ char *host = text_escape(copy->host ? copy->host : "-");

        printf("%-16s  %14" PRIu64 "  %-20s  %-16s  %s\n", copy->stamp, copy->bytes,
                verified_at ? verified_at : "-", host ? host : "?", copy->name);
}

/* Printed, or put into `copies` where that is asked for. */
static int show_copy(struct Command *command, const struct Offsite *offsite,
        const struct OffsiteCopy *copy, json_object *copies, struct Failure *failure) {
        _cleanup_json_ json_object *state = NULL;
        const char *verified_at;
        int r = state_load(command->layout, copy->stamp, &state);

        if (r < 0)
                return failure_set_read(failure, -r, command->layout->state, "read the state in");
        verified_at = copy->own ? state_offsite_verified_at(state, offsite->shown) : NULL;
        if (!copies)
                print_copy(copy, verified_at);
        else if (!json_append(copies, copy_to_json(copy, verified_at)))
                return failure_out_of_memory(failure);
        return 0;
}

static int list(struct Command *command, struct Operation *operation, const struct Offsite *offsite,
        struct Failure *failure) {
        _cleanup_offsite_list_ struct OffsiteList *found = NULL;
        _cleanup_json_ json_object *object = NULL, *copies = NULL;
        int r;

        r = offsite_list(offsite, operation, &found, failure);
        if (r < 0)
                return r;
        if (command->json) {
                copies = json_object_new_array();
                object = json_object_new_object();
                if (!copies || !object)
                        return failure_out_of_memory(failure);
        } else if (found->n_copies > 0)
                printf("%-16s  %14s  %-20s  %-16s  %s\n", "STAMP", "BYTES", "VERIFIED", "HOST",
                        "NAME");
        for (size_t i = 0; i < found->n_copies; i++) {
                r = show_copy(command, offsite, &found->copies[i], copies, failure);
                if (r < 0)
                        return r;
        }
        if (!command->json)
                return 0;
        if (!json_set(object, "offsite", json_object_new_string(offsite->shown)) ||
                !json_set(object, "copies", STEAL(copies)))
                return failure_out_of_memory(failure);
        return op_print_json(STEAL(object), failure);
}

static int verify(struct Command *command, struct Operation *operation,
        const struct Offsite *offsite, struct Failure *failure) {
        uint64_t start = monotonic_ms(), verified = 0;
        json_object *object;
        int r, r_print = 0;

        event_emit(&(const struct Event){ .id = EVENT_SHIP_STARTED, .path = offsite->shown },
                "Reading back what is in %s", offsite->shown);
        r = ship_verify(
                operation, offsite, command->arguments, command->n_arguments, &verified, failure);
        if (command->json) {
                object = json_object_new_object();
                if (object &&
                        (!json_set(object, "offsite", json_object_new_string(offsite->shown)) ||
                                !json_set(object, "verified", json_object_new_uint64(verified)))) {
                        (void) json_object_put(object);
                        object = NULL;
                }
                r_print = op_print_json(object, failure);
        }
        if (r >= 0)
                event_emit(&(const struct Event){ .id = EVENT_SHIP_DONE, .path = offsite->shown },
                        "In %s: %" PRIu64 " copies read back, all of them right; %" PRIu64 " ms",
                        offsite->shown, verified, monotonic_ms() - start);
        return r < 0 ? r : r_print;
}

static int fetch(struct Command *command, struct Operation *operation,
        const struct Offsite *offsite, const char *stamp, struct Failure *failure) {
        _cleanup_free_ char *path = NULL;
        struct EventNumber number = { "ATOCORE_BYTES", 0 };
        json_object *object;
        int r;

        event_emit(&(const struct Event){ .id = EVENT_SHIP_STARTED, .path = offsite->shown },
                "Fetching %s from %s", stamp, offsite->shown);
        r = ship_fetch(operation, offsite, stamp, &path, &number.value, failure);
        if (r < 0)
                return r;
        event_emit(&(const struct Event){ .id = EVENT_SHIP_FETCHED,
                           .path = path,
                           .numbers = &number,
                           .n_numbers = 1 },
                "Fetched %s, %" PRIu64 " bytes", path, number.value);
        if (!command->json)
                return 0;
        object = json_object_new_object();
        if (object && !json_set(object, "path", json_object_new_string(path))) {
                (void) json_object_put(object);
                object = NULL;
        }
        return op_print_json(object, failure);
}

/* Started after each backup, whether or not there is a place to send it to. */
static int nothing_to_do(struct Command *command, struct Failure *failure) {
        json_object *object;

        event_emit(&(const struct Event){ .id = EVENT_SHIP_DONE },
                "Nothing was sent: no place off this machine is configured (offsite=)");
        if (!command->json)
                return 0;
        object = json_object_new_object();
        if (object && json_object_object_add(object, "offsite", NULL) < 0) {
                (void) json_object_put(object);
                object = NULL;
        }
        return op_print_json(object, failure);
}

static int run(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        const struct Arguments *given = userdata;
        _cleanup_offsite_ struct Offsite *offsite = NULL;
        int r;

        if (given->action != ACTION_SHIP && given->dry_run)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "--dry-run is for sending; it does not go with --list, --verify or "
                        "--fetch");
        if ((given->action == ACTION_LIST || given->action == ACTION_FETCH) &&
                command->n_arguments > 0)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "Unexpected argument %s: --list and --fetch take no stamps beside their "
                        "own",
                        command->arguments[0]);
        if (given->action == ACTION_SHIP && command->n_arguments == 0 &&
                command->config->offsite[0] == '\0')
                return nothing_to_do(command, failure);
        r = offsite_open(operation, &offsite, failure);
        if (r < 0)
                return r;
        switch (given->action) {
        case ACTION_SHIP:
                return ship(command, operation, offsite, given, failure);
        case ACTION_LIST:
                return list(command, operation, offsite, failure);
        case ACTION_VERIFY:
                return verify(command, operation, offsite, failure);
        case ACTION_FETCH:
                return fetch(command, operation, offsite, given->stamp, failure);
        }
        return -EINVAL;
}

int main(int argc, char *argv[]) {
        static const struct Option options[] = {
                { .name = "list", .help = "List what is there", .parse = parse_list },
                { .name = "verify",
                        .help = "Read back what is there and compare",
                        .parse = parse_verify },
                { .name = "fetch",
                        .argument = "STAMP|latest",
                        .help = "Bring one back",
                        .parse = parse_fetch },
                { .name = "dry-run",
                        .help = "Show what would be sent, touch nothing",
                        .parse = parse_dry_run },
                { 0 },
        };
        static struct Arguments given;
        const struct Op op = {
                .program = { .name = "atocore-ship",
                        .summary = "Keep copies of snapshots or archives off this machine",
                        .arguments = "[STAMP|latest …]",
                        .options = options },
                .run = run,
                .userdata = &given,
        };

        return op_main(&op, argc, argv);
}
