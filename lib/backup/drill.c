/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/drill.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/backup/restore.h"
#include "lib/backup/snapshot.h"
#include "lib/backup/staging.h"
#include "lib/base/file-io.h"
#include "lib/base/json-build.h"
#include "lib/base/json-document.h"

/* The proof of the drill is made; that it cannot be written down does not unmake it. */
static int keep_result(const struct Operation *operation, const struct DrillResult *result,
        struct Failure *failure) {
        const char *path = operation->layout->last_drill;
        _cleanup_json_ json_object *object = drill_result_to_json(result);
        const char *text =
                object ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY) : NULL;
        int r;

        if (!text)
                return failure_out_of_memory(failure);
        r = write_file_atomic_at(AT_FDCWD, path, text, strlen(text));
        if (r < 0)
                operation_notice(operation,
                        &(const struct Event){ .id = EVENT_STATE_NOT_SAVED,
                                .stamp = result->stamp,
                                .path = path,
                                .error = -r },
                        "The result of the drill of %s could not be kept in %s: %m", result->stamp,
                        path);
        return 0;
}

static int choose(
        const struct Operation *operation, char ret_stamp[STAMP_SIZE], struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        struct Snapshot **snapshots;
        char now[STAMP_SIZE];
        bool found = false;
        size_t n;
        int r;

        stamp_format(clock_now(operation->clock), now);
        r = snapshot_list(layout, &snapshots, &n, failure);
        if (r < 0)
                return r;
        for (size_t i = n; i > 0 && !found; i--) {
                const struct Snapshot *snapshot = snapshots[i - 1];

                found = strcmp(snapshot->stamp, now) <= 0 && snapshot_is_valid(snapshot);
                if (found)
                        memcpy(ret_stamp, snapshot->stamp, STAMP_SIZE);
        }
        snapshot_list_free(snapshots, n);
        if (found)
                return 0;
        return failure_set(failure, EVENT_SNAPSHOT_NOT_FOUND, ENOENT, layout->snapshots,
                "There is no valid snapshot in %s to drill with; take one (systemctl start "
                "atocore-backup) and see what atocore-validate --all says",
                layout->snapshots);
}

/* Says nothing of the snapshot. */
static bool is_no_result(enum EventId event) {
        return event == EVENT_SNAPSHOT_NOT_FOUND || event == EVENT_STAMP_INVALID ||
                event == EVENT_LOCK_BUSY || event == EVENT_INTERRUPTED ||
                event == EVENT_RESTORE_INTERRUPTED || event == EVENT_OUT_OF_MEMORY;
}

static int restore(const struct Operation *operation, const char *scratch, const char *query,
        struct DrillResult *result, struct Failure *failure) {
        const struct RestoreOptions options = {
                .stamp = result->stamp,
                .from = operation->layout,
                .force = true, /* whoever made it: can it be restored here? */
                .query = query,
        };
        _cleanup_restore_ struct Restore *restore = NULL;
        _cleanup_layout_ struct Layout *layout = NULL;
        struct Operation there = *operation;
        int r;

        r = layout_new(scratch, &layout);
        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        if (r < 0)
                return failure_set(failure, EVENT_INTERNAL_ERROR, -r, scratch,
                        "%s cannot be a storage root: %m", scratch);
        there.layout = layout;
        there.store_lock = NULL; /* of the live root */
        r = restore_run(&there, &options, &restore, failure);
        if (r >= 0)
                result->proof = STEAL(restore->proof);
        return r;
}

/* What was put back is a scratch root; of the failure only the reason matters. */
static int tell_failed(
        struct DrillResult *result, const struct Failure *why, struct Failure *failure) {
        bool unproven = why->event == EVENT_RESTORE_ROLLED_BACK;
        enum EventId event = unproven ? EVENT_DRILL_FAILED : why->event;

        result->error = event_code(event);
        failure_set_stamp(failure, result->stamp);
        return failure_set(failure, event, why->error, why->path, "The drill of %s failed: %s",
                result->stamp, failure_message(why));
}

/* Power gone at any time: the scratch root, or a part of it, which goes with the next run. */
int drill_run(const struct Operation *operation, const char *stamp, const char *query,
        struct DrillResult *ret_result, struct Failure *failure) {
        _cleanup_drill_result_ struct DrillResult result = {
                .drilled_at = clock_now(operation->clock),
        };
        _cleanup_staging_ struct Staging scratch = STAGING_INIT;
        _cleanup_failure_ struct Failure why = { 0 };
        uint64_t started = monotonic_ms();
        int r, r_kept;

        if (stamp && !stamp_is_valid(stamp))
                return failure_set(failure, EVENT_STAMP_INVALID, EINVAL, NULL,
                        "\"%s\" is no stamp; stamps look like 20260407T060000Z", stamp);
        if (stamp)
                memcpy(result.stamp, stamp, STAMP_SIZE);
        else {
                r = choose(operation, result.stamp, failure);
                if (r < 0)
                        return r;
        }
        staging_clean_up(operation, operation->layout->tmp);
        r = staging_create(
                operation->layout->tmp, STAGING_DIRECTORY, result.stamp, &scratch, failure);
        if (r < 0)
                return r;
        r = restore(operation, scratch.path, query, &result, &why);
        if (r < 0 && is_no_result(why.event))
                return failure_set(
                        failure, why.event, why.error, why.path, "%s", failure_message(&why));
        if (r < 0)
                r = tell_failed(&result, &why, failure);
        result.duration_ms = monotonic_ms() - started;
        r_kept = keep_result(operation, &result, failure);
        *ret_result = result;
        result = (struct DrillResult){ 0 };
        return r < 0 ? r : r_kept;
}
