/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * atocore-prune: delete what the retention policy does not keep.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/backup/prune.h"
#include "lib/base/text.h"
#include "ops/op.h"

#define COUNT_MAX 1000 /* as in atocore.conf */

struct Arguments {
        bool dry_run;
        bool daily_given, weekly_given, monthly_given, now_given;
        struct RetentionPolicy policy;
        int64_t now;
};

static int parse_dry_run(const char *argument, void *userdata, struct Failure *failure) {
        struct Arguments *given = userdata;

        (void) argument;
        (void) failure;
        given->dry_run = true;
        return 0;
}

static int parse_daily(const char *argument, void *userdata, struct Failure *failure) {
        struct Arguments *given = userdata;

        given->daily_given = true;
        return option_parse_number("daily", argument, 0, COUNT_MAX, &given->policy.daily, failure);
}

static int parse_weekly(const char *argument, void *userdata, struct Failure *failure) {
        struct Arguments *given = userdata;

        given->weekly_given = true;
        return option_parse_number(
                "weekly", argument, 0, COUNT_MAX, &given->policy.weekly, failure);
}

static int parse_monthly(const char *argument, void *userdata, struct Failure *failure) {
        struct Arguments *given = userdata;

        given->monthly_given = true;
        return option_parse_number(
                "monthly", argument, 0, COUNT_MAX, &given->policy.monthly, failure);
}

static int parse_now(const char *argument, void *userdata, struct Failure *failure) {
        struct Arguments *given = userdata;

        given->now_given = true;
        if (stamp_parse(argument, &given->now) < 0)
                return failure_set(failure, EVENT_STAMP_INVALID, EINVAL, NULL,
                        "\"%s\" is no stamp; give --now one like 20260407T060000Z", argument);
        return 0;
}

static struct RetentionPolicy policy_of(
        const struct Arguments *given, const struct Config *config) {
        return (struct RetentionPolicy){
                .daily = given->daily_given ? given->policy.daily : config->retention_daily,
                .weekly = given->weekly_given ? given->policy.weekly : config->retention_weekly,
                .monthly = given->monthly_given ? given->policy.monthly : config->retention_monthly,
        };
}

static const char *verdict_name(enum RetentionVerdict verdict) {
        switch (verdict) {
        case RETENTION_KEEP:
                return "keep";
        case RETENTION_DELETE:
                return "delete";
        case RETENTION_QUARANTINED:
                return "quarantined";
        case RETENTION_IGNORED:
                return "ignored";
        }
        return "unknown";
}

static const char *comment_on(
        const struct RetentionPlan *plan, const struct RetentionEntry *entry) {
        switch (entry->verdict) {
        case RETENTION_KEEP:
                return plan->refused && entry->reasons == 0 ? "nothing valid would be left" : "";
        case RETENTION_DELETE:
                return "kept by no rule";
        case RETENTION_QUARANTINED:
                return "later than now";
        case RETENTION_IGNORED:
                return "no stamp";
        }
        return "";
}

static void print_entry(const struct RetentionPlan *plan, const struct RetentionEntry *entry) {
        _cleanup_free_ char *name = text_escape(entry->name);
        const char *separator = "";

        printf("%-16s  %-11s  %s", name ? name : "?", verdict_name(entry->verdict),
                comment_on(plan, entry));
        for (unsigned r = 1; r < REASON_END; r <<= 1)
                if (entry->reasons & r) {
                        printf("%s%s", separator, retention_reason_name(r));
                        separator = ", ";
                }
        putchar('\n');
}

static void print_table(const char *heading, const struct RetentionPlan *plan) {
        if (plan->n_entries == 0)
                return;
        printf("%-16s  %-11s  %s\n", heading, "VERDICT", "REASONS");
        for (size_t i = 0; i < plan->n_entries; i++)
                print_entry(plan, &plan->entries[i]);
}

static int print_result(
        const struct Command *command, const struct PruneResult *result, struct Failure *failure) {
        if (command->json)
                return op_print_json(prune_result_to_json(result), failure);
        if (command->verbosity == VERBOSITY_QUIET)
                return 0;
        print_table("SNAPSHOT", result->plan);
        if (result->plan->n_entries > 0 && result->archives->n_entries > 0)
                putchar('\n');
        print_table("ARCHIVE", result->archives);
        if (result->safety->n_entries > 0 &&
                result->plan->n_entries + result->archives->n_entries > 0)
                putchar('\n');
        print_table("PRE-RESTORE", result->safety);
        return 0;
}

static void report_started(const struct Command *command, const struct RetentionPolicy *policy,
        const struct Arguments *given) {
        event_emit(&(const struct Event){ .id = EVENT_PRUNE_STARTED,
                           .path = command->layout->backups },
                "%s %s, keeping %" PRIu64 " daily, %" PRIu64 " weekly, %" PRIu64 " monthly",
                given->dry_run ? "Planning to prune" : "Pruning", command->layout->backups,
                policy->daily, policy->weekly, policy->monthly);
}

static void report_done(const struct Command *command, const struct PruneResult *result) {
        const uint64_t kept = retention_plan_count(result->plan, RETENTION_KEEP);
        const uint64_t planned = retention_plan_count(result->plan, RETENTION_DELETE);
        const struct EventNumber numbers[] = {
                { "ATOCORE_SNAPSHOTS_KEPT", kept },
                { "ATOCORE_SNAPSHOTS_DELETED", result->snapshots_deleted },
                { "ATOCORE_ARCHIVES_DELETED", result->archives_deleted },
                { "ATOCORE_PRE_RESTORE_DELETED", result->safety_deleted },
                { "ATOCORE_LEFTOVERS_REMOVED", result->leftovers_removed },
                { "ATOCORE_BYTES", result->bytes_freed },
                { "ATOCORE_DURATION_MS", result->duration_ms },
        };
        const struct Event event = { .id = EVENT_PRUNE_DONE,
                .path = command->layout->backups,
                .numbers = numbers,
                .n_numbers = sizeof numbers / sizeof numbers[0] };

        if (result->dry_run)
                event_emit(&event,
                        "Snapshots: %" PRIu64 " would be deleted, %" PRIu64
                        " kept; nothing was touched",
                        planned, kept);
        else
                event_emit(&event,
                        "Snapshots: %" PRIu64 " deleted, %" PRIu64 " kept; archives: %" PRIu64
                        " deleted; leftovers: %" PRIu64 " removed; %" PRIu64
                        " bytes freed, %" PRIu64 " ms",
                        result->snapshots_deleted, kept, result->archives_deleted,
                        result->leftovers_removed, result->bytes_freed, result->duration_ms);
}

static int run(struct Command *command, struct Operation *operation, void *userdata,
        struct Failure *failure) {
        const struct Arguments *given = userdata;
        const struct RetentionPolicy policy = policy_of(given, command->config);
        _cleanup_prune_result_ struct PruneResult *result = NULL;
        int r, r_print;

        report_started(command, &policy, given);
        r = prune_run(operation, &policy,
                given->now_given ? given->now : clock_now(&command->clock), given->dry_run, &result,
                failure);
        if (!result)
                return r;
        r_print = print_result(command, result, failure);
        if (r >= 0)
                report_done(command, result);
        return r < 0 ? r : r_print;
}

int main(int argc, char *argv[]) {
        static const struct Option options[] = {
                { .name = "dry-run",
                        .help = "Print the plan, touch nothing",
                        .parse = parse_dry_run },
                { .name = "daily",
                        .argument = "N",
                        .help = "Days of which a snapshot is kept",
                        .parse = parse_daily },
                { .name = "weekly",
                        .argument = "N",
                        .help = "Weeks of which a snapshot is kept",
                        .parse = parse_weekly },
                { .name = "monthly",
                        .argument = "N",
                        .help = "Months of which a snapshot is kept",
                        .parse = parse_monthly },
                { .name = "now",
                        .argument = "STAMP",
                        .help = "Plan as if it were then",
                        .parse = parse_now },
                { 0 },
        };
        static struct Arguments given;
        const struct Op op = {
                .program = { .name = "atocore-prune",
                        .summary = "Delete snapshots that retention does not keep",
                        .options = options },
                .run = run,
                .userdata = &given,
        };

        return op_main(&op, argc, argv);
}
