/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * POST /interactions, GET /interactions, GET /interactions/{id}.
 */

#include <errno.h>
#include <string.h>

#include "daemon/document.h"
#include "daemon/fields.h"
#include "daemon/handlers.h"
#include "lib/base/json-document.h"
#include "lib/knowledge/interaction.h"

/* Documents. */

static json_object *document_or_null(const char *text) {
        _cleanup_free_ char *problem = NULL;
        json_object *document = NULL;

        if (text) /* which we wrote from a parsed one */
                (void) json_document_parse(
                        text, strlen(text), FIELDS_DEPTH_MAX, &document, &problem);
        return document;
}

static json_object *interaction_to_json(const struct Interaction *interaction) {
        json_object *object = json_object_new_object();
        char created_at[RFC3339_SIZE];

        rfc3339_format(interaction->created_at, created_at);
        document_add(object, "id", json_object_new_int64(interaction->id));
        document_add(object, "created_at", json_object_new_string(created_at));
        document_add(object, "prompt", document_text(interaction->prompt));
        document_add(object, "response", document_text(interaction->response));
        document_add(object, "response_summary", document_text(interaction->response_summary));
        document_add(object, "project", document_text(interaction->project_id));
        document_add(object, "client", document_text(interaction->client));
        document_add(object, "session_id", document_text(interaction->session_id));
        document_add(object, "chunks_used", document_or_null(interaction->chunks_used));
        document_add(object, "context_pack", document_or_null(interaction->context_pack));
        return object;
}

static json_object *page_to_json(const struct Interaction *interactions, size_t n, int64_t next) {
        json_object *object = json_object_new_object(), *list = json_object_new_array();

        for (size_t i = 0; i < n; i++)
                document_append(list, interaction_to_json(&interactions[i]));
        document_add(object, "interactions", list);
        document_add(object, "next", next > 0 ? json_object_new_int64(next) : NULL);
        return object;
}

/* Saving. */

static int copy_text(json_object *fields, const char *name, enum FieldNeed need, char **ret_text,
        struct Response *response) {
        const char *text = NULL;
        int r;

        r = field_text(fields, name, need, &text, response);
        if (r < 0 || !text)
                return r;
        *ret_text = strdup(text);
        return *ret_text ? 0 : response_out_of_memory(response);
}

/* The project as it is called in the registry, whatever alias was given. */
static int resolve_project(
        struct Worker *worker, const char *name, char **ret_id, struct Response *response) {
        _cleanup_registry_view_ struct RegistryView *view = NULL;
        const struct Project *project;
        int r;

        if (!name)
                return 0;
        r = worker_registry(worker, &view, NULL, response);
        if (r >= 0)
                r = worker_project(view->registry, name, &project, response);
        if (r < 0)
                return r;
        *ret_id = strdup(project->id);
        return *ret_id ? 0 : response_out_of_memory(response);
}

static int parse(struct Worker *worker, json_object *fields, struct Interaction *interaction,
        struct Response *response) {
        const struct {
                const char *name;
                enum FieldNeed need;
                char **value;
        } texts[] = {
                { "prompt", FIELD_REQUIRED, &interaction->prompt },
                { "response", FIELD_OPTIONAL, &interaction->response },
                { "response_summary", FIELD_OPTIONAL, &interaction->response_summary },
                { "client", FIELD_OPTIONAL, &interaction->client },
                { "session_id", FIELD_OPTIONAL, &interaction->session_id },
        };
        const char *project = NULL;
        int r;

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                r = copy_text(fields, texts[i].name, texts[i].need, texts[i].value, response);
                if (r < 0)
                        return r;
        }
        r = field_document(
                fields, "chunks_used", json_type_array, &interaction->chunks_used, response);
        if (r >= 0)
                r = field_document(fields, "context_pack", json_type_object,
                        &interaction->context_pack, response);
        if (r >= 0)
                r = field_text(fields, "project", FIELD_OPTIONAL, &project, response);
        return r < 0 ? r : resolve_project(worker, project, &interaction->project_id, response);
}

void handle_interaction_add(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        _cleanup_interaction_ struct Interaction *interaction = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_json_ json_object *fields = NULL;
        struct Store *store;

        if (fields_parse(request, FIELD_REQUIRED, &fields, response) < 0)
                return;
        interaction = calloc(1, sizeof *interaction);
        if (!interaction) {
                (void) response_out_of_memory(response);
                return;
        }
        interaction->created_at = clock_now(worker->daemon->clock);
        if (parse(worker, fields, interaction, response) < 0 ||
                worker_store(worker, &store, response) < 0)
                return;
        if (interaction_save(store, interaction, &failure) < 0) {
                (void) response_failure(response, &failure);
                return;
        }
        response_json(response, HTTP_CREATED, interaction_to_json(interaction));
        if (asprintf(&response->location, "/interactions/%lld", (long long) interaction->id) < 0)
                response->location = NULL;
}

/* Reading. */

static int parse_filter(const struct Request *request, struct InteractionFilter *filter,
        const char **ret_project, struct Response *response) {
        uint64_t before = 0;
        int r;

        r = parameter_text(request, "project", ret_project, response);
        if (r >= 0)
                r = parameter_text(request, "session_id", &filter->session_id, response);
        if (r >= 0)
                r = parameter_text(request, "client", &filter->client, response);
        if (r >= 0)
                r = parameter_time(request, "since", &filter->since, response);
        if (r >= 0)
                r = parameter_number(request, "before", 1, INT64_MAX, &before, response);
        if (r >= 0)
                r = parameter_number(
                        request, "limit", 1, INTERACTION_LIMIT_MAX, &filter->limit, response);
        filter->before = (int64_t) before;
        return r;
}

void handle_interactions(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        struct InteractionFilter filter = { .since = INT64_MIN,
                .limit = INTERACTION_LIMIT_DEFAULT };
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_free_ char *project_id = NULL;
        struct Interaction *interactions;
        const char *project = NULL;
        struct Store *store;
        int64_t next;
        size_t n;

        if (parse_filter(request, &filter, &project, response) < 0 ||
                resolve_project(worker, project, &project_id, response) < 0 ||
                worker_store(worker, &store, response) < 0)
                return;
        filter.project_id = project_id;
        if (interaction_list(store, &filter, &interactions, &n, &next, &failure) < 0) {
                (void) response_failure(response, &failure);
                return;
        }
        response_json(response, HTTP_OK, page_to_json(interactions, n, next));
        interaction_list_free(interactions, n);
}

static int parse_id(const char *text, int64_t *ret_id) {
        if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
                return -EINVAL;
        errno = 0;
        *ret_id = strtoll(text, NULL, 10);
        return -errno;
}

void handle_interaction(
        struct Worker *worker, const struct Request *request, struct Response *response) {
        _cleanup_interaction_ struct Interaction *interaction = NULL;
        _cleanup_failure_ struct Failure failure = { 0 };
        const char *text = request->path.segments[1];
        struct Store *store;
        int64_t id;
        int r;

        r = parse_id(text, &id);
        if (r == -EINVAL) {
                (void) response_problem(response, HTTP_BAD_REQUEST, "interaction_id_invalid",
                        "%s is no id of an interaction; it must be a whole number", text);
                return;
        }
        if (r >= 0) {
                if (worker_store(worker, &store, response) < 0)
                        return;
                r = interaction_get(store, id, &interaction, &failure);
        }
        if (r >= 0)
                response_json(response, HTTP_OK, interaction_to_json(interaction));
        else if (failure_is_set(&failure))
                (void) response_failure(response, &failure);
        else
                (void) response_problem(response, HTTP_NOT_FOUND, "interaction_unknown",
                        "There is no interaction %s", text);
}
