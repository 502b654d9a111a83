/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * POST and GET /admin/backup, GET /admin/backup/{stamp}, GET /admin/backup/{stamp}/validate,
 * POST /admin/prune.
 */

#include <inttypes.h>

#include "daemon/document.h"
#include "daemon/fields.h"
#include "daemon/handlers.h"
#include "lib/backup/archive.h"
#include "lib/backup/check.h"
#include "lib/backup/metadata.h"
#include "lib/backup/prune.h"
#include "lib/backup/snapshot.h"
#include "lib/base/event.h"
#include "lib/base/json-document.h"

/* The stamp first, then what the metadata say; they may be unreadable. */
static json_object *snapshot_to_json(const struct Snapshot *snapshot) {
        json_object *object = json_object_new_object();

        if (!object)
                return NULL;
        document_add(object, "stamp", json_object_new_string(snapshot->stamp));
        if (!snapshot->metadata)
                return object;
        json_object_object_foreach(snapshot->metadata, name, value) {
                document_add(object, name, json_object_get(value));
        }
        return object;
}

static uint64_t number_of(const struct Snapshot *snapshot, const char *name) {
        json_object *value = NULL;

        (void) json_object_object_get_ex(snapshot->metadata, name, &value);
        return json_object_get_uint64(value);
}

static void tell_done(const struct Snapshot *snapshot) {
        struct EventNumber numbers[] = {
                { "ATOCORE_BYTES", 0 },
                { "ATOCORE_DURATION_MS", number_of(snapshot, "duration_ms") },
        };

        (void) metadata_bytes(snapshot->metadata, &numbers[0].value);
        event_emit(&(struct Event){ .id = EVENT_BACKUP_DONE,
                           .stamp = snapshot->stamp,
                           .path = snapshot->path,
                           .numbers = numbers,
                           .n_numbers = sizeof numbers / sizeof numbers[0] },
                "Snapshot %s is complete: %" PRIu64 " bytes, %" PRIu64 " ms", snapshot->stamp,
                numbers[0].value, numbers[1].value);
}

/* The archive's path joins what is answered of the snapshot. */
static int archive_snapshot(
        const struct Operation *operation, struct Snapshot *snapshot, struct Failure *failure) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = archive_create(operation, snapshot->stamp, ARCHIVE_FORMAT_ZSTD, &path, failure);
        if (r < 0)
                return r;
        document_add(snapshot->metadata, "archive", json_object_new_string(path));
        return 0;
}

void handle_backup_create(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        struct Operation operation = worker_operation(worker);
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_json_ json_object *fields = NULL;
        struct SnapshotOptions options = { 0 };
        bool archive = false;

        if (fields_parse(request, FIELD_OPTIONAL, &fields, response) < 0 ||
                field_flag(fields, "include_chroma", &options.include_chroma, response) < 0 ||
                field_flag(fields, "archive", &archive, response) < 0)
                return;

        event_emit(&(struct Event){ .id = EVENT_BACKUP_STARTED, .path = operation.layout->root },
                "Taking a snapshot of %s%s", operation.layout->root,
                options.include_chroma ? " with the vector store" : "");
        if (snapshot_create(&operation, &options, &snapshot, &failure) < 0) {
                (void) response_failure(response, &failure);
                return;
        }
        tell_done(snapshot);
        if (archive && archive_snapshot(&operation, snapshot, &failure) < 0) {
                (void) response_failure(response, &failure);
                return;
        }
        response_json(response, HTTP_CREATED, snapshot_to_json(snapshot));
        if (asprintf(&response->location, "/admin/backup/%s", snapshot->stamp) < 0)
                response->location = NULL;
}

void handle_backups(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        const struct Layout *layout = worker->daemon->layout;
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Snapshot **snapshots = NULL;
        size_t n = 0;

        (void) request;
        if (snapshot_list(layout, &snapshots, &n, &failure) < 0) {
                (void) response_failure(response, &failure);
                return;
        }
        response_json(response, HTTP_OK, snapshot_list_to_json(layout, snapshots, n));
        snapshot_list_free(snapshots, n);
}

/* 400 for what is no stamp, 404 for one of no snapshot. */
static int describe(struct Worker *worker, const struct Request *request,
        struct Snapshot **ret_snapshot, struct Response *response) {
        _cleanup_failure_ struct Failure failure = { 0 };
        int r;

        r = snapshot_describe(
                worker->daemon->layout, request->path.segments[2], ret_snapshot, &failure);
        return r < 0 ? response_failure(response, &failure) : 0;
}

void handle_backup(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;

        if (describe(worker, request, &snapshot, response) >= 0)
                response_json(response, HTTP_OK, snapshot_to_json(snapshot));
}

static void tell_verdict(const struct CheckReport *report, const char *path) {
        if (report->valid)
                event_emit(
                        &(struct Event){
                                .id = EVENT_SNAPSHOT_VALID, .stamp = report->stamp, .path = path },
                        "Snapshot %s is valid: %" PRIu64 " files, %" PRIu64 " bytes, %" PRIu64
                        " ms",
                        report->stamp, report->files, report->bytes, report->duration_ms);
        else
                event_emit(&(struct Event){ .id = EVENT_SNAPSHOT_INVALID,
                                   .stamp = report->stamp,
                                   .path = path },
                        "Snapshot %s is not valid: %zu findings; take a new backup", report->stamp,
                        report->n_findings);
}

void handle_backup_validate(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        struct Operation operation = worker_operation(worker);
        _cleanup_check_report_ struct CheckReport *report = NULL;
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };

        if (describe(worker, request, &snapshot, response) < 0)
                return;
        event_emit(&(struct Event){ .id = EVENT_VALIDATE_STARTED,
                           .stamp = snapshot->stamp,
                           .path = snapshot->path },
                "Validating snapshot %s", snapshot->stamp);
        if (check_snapshot(&operation, snapshot->stamp, &report, &failure) < 0) {
                (void) response_failure(response, &failure);
                return;
        }
        tell_verdict(report, snapshot->path);
        response_json(response, HTTP_OK, check_report_to_json(report));
}

void handle_prune(struct Worker *worker, const struct Request *request, struct Response *response) {
        struct Operation operation = worker_operation(worker);
        _cleanup_prune_result_ struct PruneResult *result = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_json_ json_object *fields = NULL;
        bool dry_run = true;
        int r;

        if (fields_parse(request, FIELD_OPTIONAL, &fields, response) < 0 ||
                field_flag(fields, "dry_run", &dry_run, response) < 0)
                return;
        if (!dry_run)
                event_emit(&(struct Event){ .id = EVENT_PRUNE_STARTED,
                                   .path = operation.layout->snapshots },
                        "Pruning %s", operation.layout->snapshots);
        r = prune_run(&operation, NULL, clock_now(operation.clock), dry_run, &result, &failure);
        if (r < 0) {
                (void) response_failure(response, &failure);
                if (result) /* what would be kept, or what was done all the same */
                        response_add_member(response, "plan", prune_result_to_json(result));
                return;
        }
        if (!dry_run)
                event_emit(&(struct Event){ .id = EVENT_PRUNE_DONE,
                                   .path = operation.layout->snapshots },
                        "Pruning is done: %" PRIu64 " snapshots deleted, %" PRIu64 " bytes freed",
                        result->snapshots_deleted, result->bytes_freed);
        response_json(response, HTTP_OK, prune_result_to_json(result));
}
