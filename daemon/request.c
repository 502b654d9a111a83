/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/request.h"

#include <errno.h>
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

#define BODY_FIRST_ALLOCATION 4096u

/* The head. */

struct Head {
        struct Request *request;
        struct AccessHead *access;
        const char *length;   /* Content-Length */
        const char *encoding; /* Transfer-Encoding */
        const char *type;     /* Content-Type */
        bool invalid;
};

/* A name that stands twice with different values, or that hides another one. */
static void add_framing(struct Head *head, const char **value, const char *given) {
        if (*value && strcmp(*value, given) != 0)
                head->invalid = true;
        *value = given;
}

static bool name_is_token(const char *name) {
        for (const char *c = name; *c != '\0'; c++)
                if (*c <= ' ' || *c > '~')
                        return false;
        return name[0] != '\0';
}

static enum MHD_Result add_header(
        void *userdata, enum MHD_ValueKind kind, const char *name, const char *value) {
        struct Head *head = userdata;

        (void) kind;
        if (!value)
                value = "";
        if (!name_is_token(name)) /* "Content-Length :", which others may read otherwise */
                head->invalid = true;

        if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0)
                add_framing(head, &head->length, value);
        else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0)
                add_framing(head, &head->encoding, value);
        else if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_TYPE) == 0)
                head->type = value;
        else if (strcasecmp(name, MHD_HTTP_HEADER_EXPECT) == 0)
                head->request->expects_continue = strcasecmp(value, "100-continue") == 0;
        else
                access_head_add(head->access, name, value);
        return MHD_YES;
}

/* "application/json", with parameters or without. */
static bool type_is_json(const char *type) {
        static const char json[] = "application/json";

        if (!type || strncasecmp(type, json, strlen(json)) != 0)
                return false;
        return strchr("; \t", type[strlen(json)]) != NULL; /* the NUL at the end among them */
}

/* RFC 9112 §6.3: a request of which it is not certain where it ends could hide a second one. */
static void judge_framing(struct Head *head) {
        struct Request *request = head->request;

        if (head->encoding &&
                (head->length || !head->access->http_1_1 ||
                        strcasecmp(head->encoding, "chunked") != 0))
                head->invalid = true;
        if (head->length) /* the server took nothing but digits */
                request->announced = strtoull(head->length, NULL, 10);
        request->has_body = head->encoding || request->announced > 0;
        request->is_json = type_is_json(head->type);
}

static enum Method method_of(const char *name) {
        if (strcmp(name, MHD_HTTP_METHOD_GET) == 0)
                return METHOD_GET;
        if (strcmp(name, MHD_HTTP_METHOD_POST) == 0)
                return METHOD_POST;
        if (strcmp(name, MHD_HTTP_METHOD_PUT) == 0)
                return METHOD_PUT;
        if (strcmp(name, MHD_HTTP_METHOD_HEAD) == 0)
                return METHOD_HEAD;
        return METHOD_OTHER;
}

/* The query. */

struct Query {
        struct Request *request;
        int error;
};

static enum MHD_Result add_parameter(
        void *userdata, enum MHD_ValueKind kind, const char *name, const char *value) {
        struct Query *query = userdata;
        struct Request *request = query->request;
        struct Parameter *parameter = &request->parameters[request->n_parameters++];

        (void) kind;
        parameter->name = strdup(name);
        parameter->value = strdup(value ? value : "");
        if (!parameter->name || !parameter->value)
                query->error = -ENOMEM;
        else if (uri_decode(parameter->name) < 0 || uri_decode(parameter->value) < 0)
                query->error = -EINVAL;
        return query->error < 0 ? MHD_NO : MHD_YES;
}

static int take_query(struct Request *request, struct MHD_Connection *connection) {
        struct Query query = { .request = request };
        int n = MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, NULL, NULL);

        if (n <= 0)
                return 0;
        request->parameters = calloc((size_t) n, sizeof *request->parameters);
        if (!request->parameters)
                return -ENOMEM;
        (void) MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add_parameter, &query);
        return query.error;
}

static int take_target(struct Request *request, struct MHD_Connection *connection,
        const char *target, struct AccessHead *head) {
        const char *authority, *path;
        size_t size;
        int r;

        if (uri_split_absolute(target, &authority, &size, &path)) {
                /* It counts instead of Host, which must be there all the same. */
                request->authority = strndup(authority, size);
                if (!request->authority)
                        return -ENOMEM;
                head->host = request->authority;
                target = path;
        }
        r = uri_path_parse(target, &request->path);
        return r < 0 ? r : take_query(request, connection);
}

enum RequestFault request_begin(struct Request *request, struct MHD_Connection *connection,
        const char *target, const char *method, const char *version, struct AccessHead *ret_head) {
        struct Head head = { .request = request, .access = ret_head };
        int r;

        *request = (struct Request){ .method = method_of(method) };
        *ret_head = (struct AccessHead){ .http_1_1 = strcmp(version, MHD_HTTP_VERSION_1_0) != 0 };
        (void) MHD_get_connection_values(connection, MHD_HEADER_KIND, add_header, &head);
        judge_framing(&head);

        r = take_target(request, connection, target, ret_head);
        if (head.invalid)
                return REQUEST_FRAMING_INVALID;
        if (r == -ENOMEM)
                return REQUEST_OUT_OF_MEMORY;
        return r < 0 ? REQUEST_TARGET_INVALID : REQUEST_SOUND;
}

/* The body. */

static int reserve(struct Request *request, size_t size) {
        size_t allocated = request->body_allocated;
        char *body;

        if (size <= allocated)
                return 0;
        if (allocated == 0)
                allocated = BODY_FIRST_ALLOCATION;
        while (allocated < size)
                allocated *= 2;
        body = realloc(request->body, allocated);
        if (!body)
                return -ENOMEM;
        request->body = body;
        request->body_allocated = allocated;
        return 0;
}

void request_drop_body(struct Request *request) {
        free(request->body);
        request->body = NULL;
        request->body_size = 0;
        request->body_allocated = 0;
        request->dropped = true;
}

enum RequestBody request_add_body(struct Request *request, const char *data, size_t size) {
        request->received += size;
        if (request->received > REQUEST_BODY_DROP_MAX)
                return REQUEST_BODY_ENDLESS;
        if (!request->dropped &&
                (request->received > REQUEST_BODY_MAX ||
                        reserve(request, request->body_size + size + 1) < 0))
                request_drop_body(request);
        if (request->dropped)
                return REQUEST_BODY_DROPPED;
        memcpy(request->body + request->body_size, data, size);
        request->body_size += size;
        request->body[request->body_size] = '\0';
        return REQUEST_BODY_TAKEN;
}

void request_clear(struct Request *request) {
        uri_path_clear(&request->path);
        for (size_t i = 0; i < request->n_parameters; i++) {
                free(request->parameters[i].name);
                free(request->parameters[i].value);
        }
        free(request->parameters);
        free(request->authority);
        free(request->body);
        *request = (struct Request){ 0 };
}
