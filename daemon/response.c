/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/response.h"

#include <ctype.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <string.h>

#include "daemon/document.h"

#define RETRY_AFTER_SECONDS 5

/* Failures of the library that are not our own fault, 500. */
static const struct {
        enum EventId event;
        unsigned status;
} statuses[] = {
        { EVENT_STAMP_INVALID, HTTP_BAD_REQUEST },
        { EVENT_SNAPSHOT_NOT_FOUND, HTTP_NOT_FOUND },
        { EVENT_PROJECT_UNKNOWN, HTTP_NOT_FOUND },
        { EVENT_LOCK_BUSY, HTTP_CONFLICT },
        { EVENT_PRUNE_REFUSED, HTTP_CONFLICT },
        { EVENT_REGISTRY_CHANGED, HTTP_CONFLICT },
        { EVENT_INTERRUPTED, HTTP_UNAVAILABLE },
        { EVENT_RESTORE_INTERRUPTED, HTTP_UNAVAILABLE },
        { EVENT_STORAGE_ROOT_MISSING, HTTP_UNAVAILABLE },
        { EVENT_BACKUP_ROOT_MISSING, HTTP_UNAVAILABLE },
        { EVENT_REGISTRY_INVALID, HTTP_UNAVAILABLE },
        { EVENT_REGISTRY_MISSING, HTTP_UNAVAILABLE },
        { EVENT_DATABASE_MISSING, HTTP_UNAVAILABLE },
        { EVENT_DATABASE_INVALID, HTTP_UNAVAILABLE },
        { EVENT_DATABASE_FOREIGN, HTTP_UNAVAILABLE },
        { EVENT_DATABASE_TOO_NEW, HTTP_UNAVAILABLE },
        { EVENT_DATABASE_FAILED, HTTP_UNAVAILABLE },
        { EVENT_QUERY_TIMEOUT, HTTP_UNAVAILABLE },
        { EVENT_NO_SPACE, HTTP_NO_STORAGE },
};

static unsigned status_of(enum EventId event) {
        for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
                if (statuses[i].event == event)
                        return statuses[i].status;
        return HTTP_INTERNAL_ERROR;
}

void response_json(struct Response *response, unsigned status, json_object *body) {
        if (!body) {
                (void) response_out_of_memory(response);
                return;
        }
        response->status = status;
        response->body = body;
}

/* "project_unknown" → "Project unknown": one title for one type, as RFC 9457 wants it. */
static json_object *title_of(const char *code) {
        char title[64];
        size_t size = 0;

        for (; code[size] != '\0' && size < sizeof title - 1; size++)
                title[size] = code[size] == '_' ? ' ' : code[size];
        title[size] = '\0';
        title[0] = (char) toupper((unsigned char) title[0]);
        return json_object_new_string(title);
}

static json_object *type_of(const char *code) {
        char type[96];

        (void) snprintf(type, sizeof type, "urn:atocore:problem:%s", code);
        return json_object_new_string(type);
}

static json_object *problem_document(unsigned status, const char *code, const char *detail) {
        json_object *document = json_object_new_object();

        document_add(document, "type", type_of(code));
        document_add(document, "title", title_of(code));
        document_add(document, "status", json_object_new_int((int) status));
        document_add(document, "detail", document_text(detail));
        document_add(document, "code", json_object_new_string(code));
        return document;
}

int response_problem(
        struct Response *response, unsigned status, const char *code, const char *format, ...) {
        va_list arguments;

        if (response->status != 0)
                return -ECANCELED;
        va_start(arguments, format);
        if (vasprintf(&response->detail, format, arguments) < 0)
                response->detail = NULL;
        va_end(arguments);

        response->status = status;
        response->code = code;
        response->body = problem_document(status, code, response->detail ? response->detail : code);
        if (status == HTTP_UNAVAILABLE)
                response->retry_after = RETRY_AFTER_SECONDS;
        response->authenticate = status == HTTP_UNAUTHORIZED;
        return -ECANCELED;
}

void response_add_member(struct Response *response, const char *name, json_object *value) {
        document_add(response->body, name, value);
}

int response_failure_as(struct Response *response, unsigned status, struct Failure *failure) {
        if (response->status == 0) {
                (void) response_problem(response, status, event_code(failure->event), "%s",
                        failure_message(failure));
                failure_move(&response->cause, failure);
        }
        failure_clear(failure);
        return -ECANCELED;
}

int response_failure(struct Response *response, struct Failure *failure) {
        if (!failure_is_set(failure))
                (void) failure_set(failure, EVENT_INTERNAL_ERROR, 0, NULL,
                        "Failed without giving a reason; please report this");
        return response_failure_as(response, status_of(failure->event), failure);
}

int response_out_of_memory(struct Response *response) {
        _cleanup_failure_ struct Failure failure = { 0 };

        (void) failure_out_of_memory(&failure);
        return response_failure(response, &failure);
}

/* Rendering. */

static bool add_header(struct MHD_Response *rendered, const char *name, const char *value) {
        return MHD_add_response_header(rendered, name, value) == MHD_YES;
}

static bool add_headers(const struct Response *response, struct MHD_Response *rendered) {
        char retry_after[16];
        bool whole;

        whole = add_header(rendered, MHD_HTTP_HEADER_CONTENT_TYPE,
                        response->code ? "application/problem+json" : "application/json") &&
                add_header(rendered, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        if (response->location)
                whole = whole && add_header(rendered, MHD_HTTP_HEADER_LOCATION, response->location);
        if (response->allow)
                whole = whole && add_header(rendered, MHD_HTTP_HEADER_ALLOW, response->allow);
        if (response->authenticate)
                whole = whole &&
                        add_header(rendered, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                "Bearer realm=\"atocore\"");
        if (response->retry_after > 0) {
                (void) snprintf(retry_after, sizeof retry_after, "%u", response->retry_after);
                whole = whole && add_header(rendered, MHD_HTTP_HEADER_RETRY_AFTER, retry_after);
        }
        return whole;
}

/* Text for the one case in which no document could be made. */
static struct MHD_Response *render_out_of_memory(struct Response *response) {
        static char text[] = "{\"type\":\"urn:atocore:problem:out_of_memory\","
                             "\"title\":\"Out of memory\",\"status\":500,"
                             "\"detail\":\"Memory ran out\",\"code\":\"out_of_memory\"}\n";

        response->status = HTTP_INTERNAL_ERROR;
        response->code = "out_of_memory";
        return MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *render_document(json_object *body) {
        struct MHD_Response *rendered;
        const char *text;
        size_t size;
        char *copy;

        text = json_object_to_json_string_length(
                body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
        if (!text)
                return NULL;
        copy = malloc(size + 1);
        if (!copy)
                return NULL;
        memcpy(copy, text, size);
        copy[size] = '\n';
        rendered = MHD_create_response_from_buffer(size + 1, copy, MHD_RESPMEM_MUST_FREE);
        if (!rendered)
                free(copy);
        return rendered;
}

void response_render(struct Response *response) {
        struct MHD_Response *rendered = response->body ? render_document(response->body) : NULL;

        (void) json_object_put(STEAL(response->body));
        if (!rendered)
                rendered = render_out_of_memory(response);
        if (rendered && !add_headers(response, rendered)) {
                MHD_destroy_response(rendered);
                rendered = NULL;
        }
        response->rendered = rendered;
}

void response_announce_close(struct MHD_Response *rendered) {
        (void) add_header(rendered, MHD_HTTP_HEADER_CONNECTION, "close");
}

void response_clear(struct Response *response) {
        (void) json_object_put(response->body);
        failure_clear(&response->cause);
        free(response->detail);
        free(response->location);
        if (response->rendered)
                MHD_destroy_response(response->rendered);
        *response = (struct Response){ 0 };
}
