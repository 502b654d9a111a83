/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/ship.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/backup/ship-items.h"
#include "lib/backup/staging.h"
#include "lib/backup/state.h"
#include "lib/base/json-document.h"
#include "lib/base/lock.h"

struct Ship {
        const struct Operation *operation;
        const struct Offsite *offsite;
        const struct ShipOptions *options;
        struct OffsiteList *list;
        struct ShipResult *result;
        bool prepared;
};

/* Deciding. */

static struct RetentionInput *input_of(
        struct RetentionInput *inputs, size_t *n, const char *stamp) {
        for (size_t i = 0; i < *n; i++)
                if (strcmp(inputs[i].name, stamp) == 0)
                        return &inputs[i];
        inputs[*n] = (struct RetentionInput){ .readable = true, .valid = true };
        memcpy(inputs[*n].name, stamp, STAMP_SIZE);
        return &inputs[(*n)++];
}

/* A pin that is kept here counts there as well. A verdict does not: what is wrong with the one that
 * is here by now says nothing of the copy, which was read back when it was sent. */
static int apply_pins(
        const struct Ship *ship, struct RetentionInput *inputs, size_t n, struct Failure *failure) {
        for (size_t i = 0; i < n; i++) {
                _cleanup_json_ json_object *state = NULL;
                int r = state_load(ship->operation->layout, inputs[i].name, &state);

                if (r < 0)
                        return failure_set_read(
                                failure, -r, ship->operation->layout->state, "read the state in");
                inputs[i].pinned = state_pinned(state, inputs[i].pinned);
        }
        return 0;
}

/* What is there and what could be. */
static int make_plan(const struct Ship *ship, struct Failure *failure) {
        const struct Config *config = ship->operation->config;
        const struct RetentionPolicy policy = { config->retention_daily, config->retention_weekly,
                config->retention_monthly };
        struct ShipResult *result = ship->result;
        _cleanup_free_ struct RetentionInput *inputs =
                calloc(ship->list->n_copies + result->n_entries + 1, sizeof *inputs);
        size_t n = 0, n_valid = 0;
        int r;

        if (!inputs)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < ship->list->n_copies; i++) {
                const struct OffsiteCopy *copy = &ship->list->copies[i];
                struct RetentionInput *input;

                if (!copy->own)
                        continue;
                input = input_of(inputs, &n, copy->stamp);
                input->pinned |= copy->pinned;
                input->has_vector_store |= copy->has_vector_store;
        }
        for (size_t i = 0; i < result->n_entries; i++) {
                const struct ShipEntry *entry = &result->entries[i];
                struct RetentionInput *input;

                if (entry->verdict == SHIP_INVALID)
                        continue;
                n_valid++;
                input = input_of(inputs, &n, entry->item.stamp);
                input->pinned |= entry->item.pinned;
                input->has_vector_store |= entry->item.has_vector_store;
        }
        r = apply_pins(ship, inputs, n, failure);
        if (r < 0)
                return r;
        if (retention_plan(inputs, n, &policy, clock_now(ship->operation->clock), &result->plan) <
                0)
                return failure_out_of_memory(failure);
        /* Where nothing valid is here, what is there may be all that is left. */
        if (n_valid == 0)
                retention_plan_refuse(result->plan);
        return 0;
}

static bool is_deleted(const struct RetentionPlan *plan, const char *stamp) {
        for (size_t i = 0; plan && i < plan->n_entries; i++)
                if (strcmp(plan->entries[i].name, stamp) == 0)
                        return plan->entries[i].verdict == RETENTION_DELETE;
        return false;
}

static int decide(const struct Ship *ship, struct ShipEntry *entry, struct Failure *failure) {
        const struct OffsiteCopy *copy = offsite_list_find(ship->list, entry->item.name, false);
        _cleanup_json_ json_object *state = NULL;
        int r;

        if (entry->verdict == SHIP_INVALID)
                return 0;
        if (is_deleted(ship->result->plan, entry->item.stamp)) {
                entry->verdict = SHIP_NOT_KEPT;
                return 0;
        }
        if (!copy)
                return 0;
        r = state_load(ship->operation->layout, entry->item.stamp, &state);
        if (r < 0)
                return failure_set_read(
                        failure, -r, ship->operation->layout->state, "read the state in");
        entry->verdict =
                state_offsite_verified_at(state, ship->offsite->shown) ? SHIP_THERE : SHIP_VERIFY;
        return 0;
}

static bool is_named(const struct ShipEntry *entry, const char *name, const char *latest) {
        return strcmp(entry->item.stamp, strcmp(name, "latest") == 0 ? latest : name) == 0;
}

static int check_names(const struct Ship *ship, const char *latest, struct Failure *failure) {
        const struct ShipOptions *options = ship->options;

        for (size_t i = 0; i < options->n_stamps; i++) {
                const struct ShipEntry *found = NULL;
                int r = ship_parse_stamp(options->stamps[i], failure);

                if (r < 0)
                        return r;
                for (size_t j = 0; j < ship->result->n_entries; j++)
                        if (is_named(&ship->result->entries[j], options->stamps[i], latest))
                                found = &ship->result->entries[j];
                if (!found)
                        return failure_set(failure, EVENT_SNAPSHOT_NOT_FOUND, ENOENT, NULL,
                                "There is no %s %s here to be sent; atocore-backup --list shows "
                                "what there is",
                                offsite_noun(ship->offsite), options->stamps[i]);
                if (found->verdict == SHIP_INVALID)
                        return failure_set(failure, EVENT_SNAPSHOT_INVALID, 0, found->item.path,
                                "The %s %s is not valid and is not sent; see what "
                                "atocore-validate says of it",
                                offsite_noun(ship->offsite), found->item.name);
        }
        return 0;
}

/* The others are as if they were not here. */
static int keep_named(struct Ship *ship, struct Failure *failure) {
        struct ShipResult *result = ship->result;
        const int64_t now = clock_now(ship->operation->clock);
        char latest[STAMP_SIZE] = "";
        size_t n = 0;
        int r;

        for (size_t i = 0; i < result->n_entries; i++) {
                int64_t time;

                if (result->entries[i].verdict != SHIP_INVALID &&
                        stamp_parse(result->entries[i].item.stamp, &time) >= 0 && time <= now)
                        memcpy(latest, result->entries[i].item.stamp, STAMP_SIZE);
        }
        r = check_names(ship, latest, failure);
        if (r < 0)
                return r;
        for (size_t i = 0; i < result->n_entries; i++) {
                struct ShipEntry entry = result->entries[i];
                bool named = false;

                for (size_t j = 0; j < ship->options->n_stamps; j++)
                        named |= is_named(&entry, ship->options->stamps[j], latest);
                if (named)
                        result->entries[n++] = entry;
                else
                        free(entry.item.path);
        }
        result->n_entries = n;
        return 0;
}

static int decide_all(struct Ship *ship, struct Failure *failure) {
        struct ShipResult *result = ship->result;
        int r;

        r = ship_items(
                ship->operation, ship->offsite, &result->entries, &result->n_entries, failure);
        if (r >= 0 && ship->options->n_stamps > 0)
                r = keep_named(ship, failure);
        if (r >= 0)
                r = offsite_list(ship->offsite, ship->operation, &ship->list, failure);
        if (r >= 0 && ship->options->n_stamps == 0 && ship->operation->config->offsite_retention)
                r = make_plan(ship, failure);
        for (size_t i = 0; r >= 0 && i < result->n_entries; i++)
                r = decide(ship, &result->entries[i], failure);
        return r;
}

/* Acting. */

static void report_shipped(const struct Ship *ship, const struct ShipEntry *entry) {
        const struct OffsiteItem *item = &entry->item;

        operation_notice(ship->operation,
                &(const struct Event){ .id = EVENT_SHIPPED,
                        .stamp = item->stamp,
                        .path = item->path,
                        .numbers = &(const struct EventNumber){ "ATOCORE_BYTES", item->bytes },
                        .n_numbers = 1 },
                "The %s %s is in %s, %" PRIu64 " bytes, and was read back%s",
                offsite_noun(ship->offsite), item->name, ship->offsite->shown, item->bytes,
                entry->verdict == SHIP_VERIFY ? "; it was sent by an earlier run" : "");
}

/* Without it the next run reads the copy back once more. */
static void remember(
        const struct Operation *operation, const struct Offsite *offsite, const char *stamp) {
        _cleanup_failure_ struct Failure why = { 0 };

        if (state_set_offsite(operation->layout, stamp, offsite->shown, clock_now(operation->clock),
                    &why) < 0)
                operation_notice(operation,
                        &(const struct Event){ .id = EVENT_STATE_NOT_SAVED,
                                .stamp = stamp,
                                .path = why.path,
                                .error = why.error },
                        "%s", failure_message(&why));
}

static void report_failed(const struct Ship *ship, const struct Failure *why) {
        operation_notice(ship->operation,
                &(const struct Event){ .id = why->event,
                        .stamp = why->stamp,
                        .path = why->path,
                        .code = why->code,
                        .error = why->error },
                "%s", failure_message(why));
}

/* A copy that is not right is worth less than none: it is told of, deleted and sent anew. */
static int verify_earlier(struct Ship *ship, struct ShipEntry *entry, struct Failure *failure) {
        const struct OffsiteCopy *copy = offsite_list_find(ship->list, entry->item.name, false);
        _cleanup_failure_ struct Failure why = { 0 };
        int r = offsite_verify(ship->offsite, ship->operation, &entry->item, copy, &why);

        if (r >= 0)
                return 0;
        if (why.event != EVENT_OFFSITE_MISMATCH) {
                failure_move(failure, &why);
                return r;
        }
        report_failed(ship, &why);
        r = offsite_remove(ship->offsite, ship->operation, &copy, 1, failure);
        if (r < 0)
                return r;
        entry->verdict = SHIP_SEND;
        return offsite_send(ship->offsite, ship->operation, &entry->item, failure);
}

static int ship_one(struct Ship *ship, struct ShipEntry *entry, struct Failure *failure) {
        const struct Operation *operation = ship->operation;
        _cleanup_lock_ struct Lock *lock = NULL;
        int r;

        r = lock_acquire_backups(operation, LOCK_MODE_SHARED, &lock, failure);
        if (r < 0)
                return r;
        r = ship_check_item(operation, ship->offsite, &entry->item, failure);
        if (r == -ENOENT && !failure_is_set(failure))
                return 0; /* deleted since it was listed */
        if (r >= 0)
                r = entry->verdict == SHIP_SEND
                        ? offsite_send(ship->offsite, operation, &entry->item, failure)
                        : verify_earlier(ship, entry, failure);
        if (r < 0)
                return r;
        entry->done = true;
        if (entry->verdict == SHIP_SEND)
                ship->result->bytes_sent += entry->item.bytes;
        remember(operation, ship->offsite, entry->item.stamp);
        report_shipped(ship, entry);
        return 0;
}

/* What is wrong with one item; anything else would be wrong with the next as well. */
static bool is_of_one(const struct Failure *failure) {
        return failure->event == EVENT_SNAPSHOT_INVALID || failure->event == EVENT_OFFSITE_MISMATCH;
}

/* What is told at the end; what was to be told until now is told here. */
static void end_with(const struct Ship *ship, struct Failure *failure, struct Failure *why) {
        if (failure_is_set(failure))
                report_failed(ship, failure);
        failure_clear(failure);
        failure_move(failure, why);
}

/* Before anything is changed there. */
static int prepare(struct Ship *ship, struct Failure *failure) {
        int r = ship->prepared
                ? 0
                : offsite_prepare(ship->offsite, ship->operation, ship->list, failure);

        ship->prepared = r >= 0;
        return r;
}

/* The newest first: it is the one that will be wanted. */
static int ship_all(struct Ship *ship, struct Failure *failure) {
        struct ShipResult *result = ship->result;
        int r = 0;

        for (size_t i = result->n_entries; i > 0; i--) {
                struct ShipEntry *entry = &result->entries[i - 1];
                _cleanup_failure_ struct Failure why = { 0 };
                int one;

                if (entry->verdict != SHIP_SEND && entry->verdict != SHIP_VERIFY)
                        continue;
                one = prepare(ship, &why);
                if (one >= 0)
                        one = ship_one(ship, entry, &why);
                if (one >= 0)
                        continue;
                if (!is_of_one(&why)) {
                        end_with(ship, failure, &why);
                        return one;
                }
                r = one;
                if (failure_is_set(failure))
                        report_failed(ship, &why);
                else
                        end_with(ship, failure, &why);
        }
        return r;
}

static int delete_all(struct Ship *ship, struct Failure *failure) {
        const struct RetentionPlan *plan = ship->result->plan;
        _cleanup_free_ const struct OffsiteCopy **copies =
                calloc(ship->list->n_copies + 1, sizeof *copies);
        size_t n = 0;
        int r;

        if (!copies)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < ship->list->n_copies; i++)
                if (ship->list->copies[i].own && is_deleted(plan, ship->list->copies[i].stamp))
                        copies[n++] = &ship->list->copies[i];
        if (n == 0)
                return 0;
        operation_progress(ship->operation, "Deleting copies", 0, n);
        r = prepare(ship, failure);
        if (r >= 0)
                r = offsite_remove(ship->offsite, ship->operation, copies, n, failure);
        if (r < 0)
                return r;
        ship->result->deleted = n;
        for (size_t i = 0; i < n; i++)
                operation_notice(ship->operation,
                        &(const struct Event){ .id = EVENT_OFFSITE_DELETED,
                                .stamp = copies[i]->stamp,
                                .path = ship->offsite->shown },
                        "Deleted the copy of %s from %s", copies[i]->name, ship->offsite->shown);
        return 0;
}

static int act(struct Ship *ship, struct Failure *failure) {
        int r = ship_all(ship, failure);

        return r >= 0 && ship->result->plan ? delete_all(ship, failure) : r;
}

int ship_run(const struct Operation *operation, const struct Offsite *offsite,
        const struct ShipOptions *options, struct ShipResult **ret_result,
        struct Failure *failure) {
        _cleanup_ship_result_ struct ShipResult *result = calloc(1, sizeof *result);
        _cleanup_offsite_list_ struct OffsiteList *list = NULL;
        struct Ship ship = {
                .operation = operation, .offsite = offsite, .options = options, .result = result
        };
        uint64_t start = monotonic_ms();
        int r;

        if (!result || !(result->place = strdup(offsite->shown)))
                return failure_out_of_memory(failure);
        result->dry_run = options->dry_run;
        r = staging_check_root(operation->layout, failure);
        if (r >= 0)
                r = decide_all(&ship, failure);
        list = ship.list;
        if (r < 0)
                return r;
        if (!options->dry_run)
                r = act(&ship, failure);
        result->duration_ms = monotonic_ms() - start;
        *ret_result = STEAL(result);
        return r;
}
