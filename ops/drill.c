/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * atocore-drill: prove that a snapshot can be restored, by restoring it where it is in nobody's
 * way.
 */

#include <errno.h>
#include <inttypes.h>

#include "lib/backup/drill.h"
#include "lib/base/json-build.h"
#include "ops/op.h"

struct Arguments {
        const char *query;
};

static int parse_query(const char *argument, void *userdata, struct Failure *failure) {
        (void) failure;
        ((struct Arguments *) userdata)->query = argument;
        return 0;
}

static int print_result(const struct DrillResult *result, struct Failure *failure) {
        json_object *object = drill_result_to_json(result);

        if (object && result->proof && !json_set(object, "proof", json_object_get(result->proof))) {
                json_object_put(object);
                object = NULL;
        }
        return op_print_json(object, failure);
}

static int run(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        _cleanup_drill_result_ struct DrillResult result = { 0 };
        const struct Arguments *given = userdata;
        const char *stamp = command->arguments[0];
        const char *query = given->query          ? given->query
                : command->config->drill_query[0] ? command->config->drill_query
                                                  : NULL;
        int r;

        if (command->n_arguments > 1)
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "One snapshot is drilled at a time; give one stamp or none");
        event_emit(&(const struct Event){ .id = EVENT_DRILL_STARTED,
                           .stamp = stamp,
                           .path = command->layout->snapshots },
                "Drilling with %s of %s", stamp ? stamp : "the newest valid snapshot",
                command->layout->snapshots);
        r = drill_run(operation, stamp, query, &result, failure);
        if (command->json && result.stamp[0]) {
                int r_print = print_result(&result, failure);

                r = r < 0 ? r : r_print;
        }
        if (r < 0)
                return r;
        event_emit(&(const struct Event){ .id = EVENT_DRILL_DONE,
                           .stamp = result.stamp,
                           .path = command->layout->snapshots,
                           .numbers = &(const struct EventNumber){ "ATOCORE_DURATION_MS",
                                   result.duration_ms },
                           .n_numbers = 1 },
                "Snapshot %s was restored, served and found good, %" PRIu64
                " ms; nothing of it is left",
                result.stamp, result.duration_ms);
        return 0;
}

int main(int argc, char *argv[]) {
        static const struct Option options[] = {
                { .name = "query",
                        .argument = "TEXT",
                        .help = "What the restored data must find (default: drill_query=)",
                        .parse = parse_query },
                { 0 },
        };
        static struct Arguments given;
        const struct Op op = {
                .program = { .name = "atocore-drill",
                        .summary = "Prove that a snapshot can be restored",
                        .arguments = "[STAMP]",
                        .options = options },
                .run = run,
                .userdata = &given,
        };

        return op_main(&op, argc, argv);
}
