/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * GET /projects/template, POST /projects/register, PUT /projects/{id}.
 */

#include "daemon/document.h"
#include "daemon/fields.h"
#include "daemon/handlers.h"
#include "daemon/project.h"
#include "lib/base/event.h"
#include "lib/base/json-document.h"
#include "lib/knowledge/registry-edit.h"

static const char template[] =
        "{\"id\": \"p01-example\", \"aliases\": [\"p01\", \"example\"],"
        " \"description\": \"What the project is about, in a sentence\","
        " \"ingest_roots\": [{\"source\": \"vault\", \"subpath\": \"projects/p01-example\","
        " \"label\": \"notes\"}]}";

/* What GET /projects shows of a project and is not in the registry: it may be sent back. */
static const char *const shown_only[] = { "documents", "chunks", "warnings" };

void handle_project_template(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        (void) worker, (void) request;
        response_json(response, HTTP_OK, json_tokener_parse(template));
}

static const struct {
        unsigned status;
        const char *code;
} refusals[] = {
        [REGISTRY_FAULT_MISSING] = { HTTP_BAD_REQUEST, "field_missing" },
        [REGISTRY_FAULT_TYPE] = { HTTP_BAD_REQUEST, "field_type" },
        [REGISTRY_FAULT_UNKNOWN] = { HTTP_BAD_REQUEST, "field_unknown" },
        [REGISTRY_FAULT_RANGE] = { HTTP_UNPROCESSABLE, "field_range" },
        [REGISTRY_FAULT_TAKEN] = { HTTP_CONFLICT, "name_taken" },
};

static void refuse(const struct RegistryFault *fault, struct Response *response) {
        (void) response_problem(response, refusals[fault->kind].status, refusals[fault->kind].code,
                "%s %s %s; %s", fault->field ? "Field" : "The",
                fault->field ? fault->field : "project", fault->problem, fault->advice);
        if (fault->field)
                response_add_member(response, "field", document_text(fault->field));
        if (fault->owner)
                response_add_member(response, "owner", document_text(fault->owner));
}

/* That it is written stands, whether its documents can be counted or not. */
static json_object *answer(
        struct Worker *worker, const struct Project *project, json_object *warnings) {
        _cleanup_response_ struct Response no_store = { 0 };
        _cleanup_failure_ struct Failure failure = { 0 };
        struct ProjectCounts counts;
        bool counted = false;
        json_object *object;
        struct Store *store;

        if (worker_store(worker, &store, &no_store) < 0) {
                document_append(warnings, document_text(no_store.detail));
        } else if (store_project_counts(
                           store, project, &counts.documents, &counts.chunks, &failure) < 0) {
                document_append(warnings, document_text(failure_message(&failure)));
                worker_close_store(worker);
        } else {
                counted = true;
        }
        project_add_warnings(project, worker->daemon->layout, warnings);
        object = project_to_json(project, counted ? &counts : NULL);
        document_add(object, "warnings", json_object_get(warnings));
        return object;
}

static int commit(const struct Operation *operation, const struct RegistryEdit *edit,
        const char *name, json_object *warnings, struct Response *response) {
        const char *path = operation->layout->registry;
        const char *id = edit->registry->projects[edit->project].id;
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_free_ char *warning = NULL;
        bool kept;

        if (registry_edit_commit(operation, edit, &kept, &failure) < 0)
                return response_failure(response, &failure);
        event_emit(&(struct Event){ .id = EVENT_REGISTRY_WRITTEN, .path = path },
                "Project %s was %s %s%s%s", id, name ? "replaced in" : "added to", path,
                edit->before.text ? "; the version before is " : "",
                edit->before.text ? operation->layout->registry_previous : "");
        if (!kept) {
                if (asprintf(&warning,
                            "%s belonged to another user or group than AtoCore's, and does not any "
                            "more; chown it if that matters",
                            path) < 0)
                        warning = NULL;
                document_append(warnings, document_text(warning));
        }
        return 0;
}

/* `name` NULL: a project that is new. */
static void write_project(struct Worker *worker, const struct Request *request, const char *name,
        struct Response *response) {
        _cleanup_registry_fault_ struct RegistryFault fault = { 0 };
        _cleanup_registry_edit_ struct RegistryEdit edit = { 0 };
        _cleanup_registry_view_ struct RegistryView *served = NULL;
        _cleanup_json_ json_object *fields = NULL, *warnings = json_object_new_array();
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Operation operation = worker_operation(worker);
        const struct Project *project;
        enum RegistryEditResult result;
        bool first;

        if (fields_parse(request, FIELD_REQUIRED, &fields, response) < 0)
                return;
        for (size_t i = 0; i < sizeof shown_only / sizeof shown_only[0]; i++)
                json_object_object_del(fields, shown_only[i]);

        first = !name && registry_cache_get(worker->daemon->registry, &served, NULL) < 0;
        if (registry_edit_prepare(
                    &operation, name, fields, first, &edit, &result, &fault, &failure) < 0) {
                (void) response_failure(response, &failure);
                return;
        }
        if (result == REGISTRY_EDIT_REFUSED) {
                refuse(&fault, response);
                return;
        }
        if (result == REGISTRY_EDIT_UNKNOWN) {
                (void) worker_project(edit.registry, name, &project, response);
                return;
        }
        if (commit(&operation, &edit, name, warnings, response) < 0)
                return;
        project = &edit.registry->projects[edit.project];
        response_json(response, name ? HTTP_OK : HTTP_CREATED, answer(worker, project, warnings));
}

void handle_project_register(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        write_project(worker, request, NULL, response);
}

void handle_project_replace(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        write_project(worker, request, request->path.segments[1], response);
}
