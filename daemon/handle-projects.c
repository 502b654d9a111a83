/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * GET /projects, POST /projects/{id}/refresh, POST /ingest.
 */

#include <inttypes.h>

#include "daemon/document.h"
#include "daemon/fields.h"
#include "daemon/handlers.h"
#include "daemon/project.h"
#include "lib/base/event.h"
#include "lib/base/json-document.h"
#include "lib/knowledge/ingest.h"

void handle_projects(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        _cleanup_registry_view_ struct RegistryView *view = NULL;
        _cleanup_failure_ struct Failure failure = { 0 }, stale = { 0 };
        _cleanup_json_ json_object *list = NULL;
        json_object *object, *warnings;
        struct Store *store;

        (void) request;
        if (worker_registry(worker, &view, &stale, response) < 0 ||
                worker_store(worker, &store, response) < 0)
                return;
        list = json_object_new_array();
        for (size_t i = 0; list && i < view->registry->n_projects; i++) {
                const struct Project *project = &view->registry->projects[i];
                struct ProjectCounts counts;

                if (store_project_counts(
                            store, project, &counts.documents, &counts.chunks, &failure) < 0) {
                        (void) response_failure(response, &failure);
                        return;
                }
                document_append(list, project_to_json(project, &counts));
        }
        object = json_object_new_object();
        warnings = json_object_new_array();
        if (failure_is_set(&stale))
                document_append(warnings, document_text(failure_message(&stale)));
        document_add(object, "projects", STEAL(list));
        document_add(object, "warnings", warnings);
        response_json(response, HTTP_OK, object);
}

/* Ingest. */

static void tell(const struct IngestResult *result, const char *scope) {
        const struct EventNumber numbers[] = {
                { "ATOCORE_FILES", result->files_seen },
                { "ATOCORE_DURATION_MS", result->duration_ms },
        };

        event_emit(&(struct Event){ .id = EVENT_INGEST_DONE,
                           .numbers = numbers,
                           .n_numbers = sizeof numbers / sizeof numbers[0] },
                "Ingest of %s is done: %" PRIu64 " files seen, %" PRIu64 " indexed, %" PRIu64
                " removed, %zu errors, %" PRIu64 " ms",
                scope, result->files_seen, result->files_indexed, result->files_removed,
                result->n_errors, result->duration_ms);
}

/* `project` NULL: all sources. */
static void ingest(
        struct Worker *worker, const struct Project *project, struct Response *response) {
        _cleanup_ingest_result_ struct IngestResult *result = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Operation operation = worker_operation(worker);
        const char *scope = project ? project->id : "all sources";

        event_emit(&(struct Event){ .id = EVENT_INGEST_STARTED }, "Ingest of %s starts", scope);
        if (ingest_run(&operation, &project, project ? 1 : 0, false, &result, &failure) < 0) {
                (void) response_failure(response, &failure);
                return;
        }
        tell(result, scope);
        response_json(response, HTTP_OK, ingest_result_to_json(result));
}

static void ingest_project(struct Worker *worker, const char *name, struct Response *response) {
        _cleanup_registry_view_ struct RegistryView *view = NULL;
        const struct Project *project;

        if (worker_registry(worker, &view, NULL, response) >= 0 &&
                worker_project(view->registry, name, &project, response) >= 0)
                ingest(worker, project, response);
}

void handle_refresh(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        _cleanup_json_ json_object *fields = NULL;

        if (fields_parse(request, FIELD_OPTIONAL, &fields, response) >= 0)
                ingest_project(worker, request->path.segments[1], response);
}

void handle_ingest(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        _cleanup_json_ json_object *fields = NULL;
        const char *project = NULL;

        if (fields_parse(request, FIELD_OPTIONAL, &fields, response) < 0 ||
                field_text(fields, "project", FIELD_OPTIONAL, &project, response) < 0)
                return;
        if (project)
                ingest_project(worker, project, response);
        else
                ingest(worker, NULL, response);
}
