/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * GET /health, GET /stats.
 */

#include "daemon/document.h"
#include "daemon/handlers.h"
#include "daemon/health.h"
#include "lib/backup/drill-result.h"
#include "lib/backup/metadata.h"
#include "lib/backup/snapshot.h"

void handle_health(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        _cleanup_health_report_ struct HealthReport report = { 0 };

        (void) request;
        health_check(worker, &report);
        health_tell(worker->daemon->told, &report);
        response_json(response, HTTP_OK, health_to_json(&report, worker->daemon));
}

static json_object *time_or_null(int64_t seconds) {
        char text[RFC3339_SIZE];

        if (seconds == 0)
                return NULL;
        rfc3339_format(seconds, text);
        return json_object_new_string(text);
}

/* How many there are, or null: /projects says why not. */
static json_object *count_projects(struct Worker *worker) {
        _cleanup_registry_view_ struct RegistryView *view = NULL;

        if (registry_cache_get(worker->daemon->registry, &view, NULL) < 0)
                return NULL;
        return json_object_new_uint64(view->registry->n_projects);
}

static int add_backups(struct Worker *worker, json_object *object, struct Failure *failure) {
        json_object *newest = NULL, *newest_valid = NULL, *drill = NULL;
        struct Snapshot **snapshots = NULL;
        size_t n = 0;
        int r;

        r = snapshot_list(worker->daemon->layout, &snapshots, &n, failure);
        if (r < 0)
                return r;
        if (n > 0)
                newest = json_object_new_string(snapshots[n - 1]->stamp);
        for (size_t i = n; i > 0 && !newest_valid; i--)
                if (snapshot_is_valid(snapshots[i - 1]))
                        newest_valid = json_object_new_string(snapshots[i - 1]->stamp);
        snapshot_list_free(snapshots, n);

        document_add(object, "last_backup", newest);
        document_add(object, "last_validated_backup", newest_valid);
        if (drill_last(worker->daemon->layout, &drill) < 0)
                return failure_out_of_memory(failure);
        document_add(object, "last_drill", drill); /* null: there was none */
        return 0;
}

void handle_stats(struct Worker *worker, const struct Request *request, struct Response *response) {
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_json_ json_object *object = NULL;
        struct StoreCounts counts;
        struct Store *store;

        (void) request;
        if (worker_store(worker, &store, response) < 0)
                return;
        if (store_counts(store, &counts, &failure) < 0) {
                (void) response_failure(response, &failure);
                return;
        }
        object = json_object_new_object();
        if (!object) {
                (void) response_out_of_memory(response);
                return;
        }
        document_add(object, "documents", json_object_new_uint64(counts.documents));
        document_add(object, "chunks", json_object_new_uint64(counts.chunks));
        document_add(object, "projects", count_projects(worker));
        document_add(object, "interactions", json_object_new_uint64(counts.interactions));
        document_add(object, "memories", json_object_new_uint64(counts.memories));
        document_add(object, "db_bytes", json_object_new_uint64(counts.database_bytes));
        document_add(object, "last_ingest_at", time_or_null(counts.last_ingest_at));
        if (add_backups(worker, object, &failure) < 0) {
                (void) response_failure(response, &failure);
                return;
        }
        response_json(response, HTTP_OK, STEAL(object));
}
