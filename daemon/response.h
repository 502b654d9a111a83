/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a request is answered with: a JSON document, or a problem (RFC 9457) with a stable `code`.
 * The only place where failures of the library become HTTP statuses.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/failure.h"

struct MHD_Response;

enum HttpStatus {
        HTTP_OK = 200,
        HTTP_CREATED = 201,
        HTTP_BAD_REQUEST = 400,
        HTTP_UNAUTHORIZED = 401,
        HTTP_FORBIDDEN = 403,
        HTTP_NOT_FOUND = 404,
        HTTP_METHOD_NOT_ALLOWED = 405,
        HTTP_REQUEST_TIMEOUT = 408,
        HTTP_CONFLICT = 409,
        HTTP_CONTENT_TOO_LARGE = 413,
        HTTP_UNSUPPORTED_MEDIA_TYPE = 415,
        HTTP_UNPROCESSABLE = 422,
        HTTP_INTERNAL_ERROR = 500,
        HTTP_UNAVAILABLE = 503,
        HTTP_NO_STORAGE = 507,
};

struct Response {
        unsigned status;   /* 0 while there is no answer */
        const char *code;  /* of a problem, static; NULL for any other answer */
        json_object *body; /* NULL: memory ran out while it was made */

        /* Of a problem, for the journal. */
        struct Failure cause;
        char *detail;

        /* Header fields. */
        char *location;
        const char *allow; /* static */
        unsigned retry_after;
        bool authenticate; /* WWW-Authenticate: Bearer */

        struct MHD_Response *rendered;
};

/* Takes `body`; NULL means that memory ran out: 500. */
void response_json(struct Response *response, unsigned status, json_object *body);

/* `code` is static. The first answer stands: returns -ECANCELED in any case, so that whoever checks
 * input can return what this returns. A 503 gets a Retry-After. */
int response_problem(struct Response *response, unsigned status, const char *code,
        const char *format, ...) __attribute__((format(printf, 4, 5)));
/* One more member of the problem's document. Takes `value`. */
void response_add_member(struct Response *response, const char *name, json_object *value);

int response_out_of_memory(struct Response *response); /* 500; -ECANCELED */

/* The status that belongs to the failure's event, with its code and its sentence. `failure` is
 * taken and cleared; one that nobody set is an internal error. Returns -ECANCELED. */
int response_failure(struct Response *response, struct Failure *failure);
/* The same with a status that the caller knows better. */
int response_failure_as(struct Response *response, unsigned status, struct Failure *failure);

/* Makes `rendered`, which can be done on any thread; frees `body`. On failure `rendered` is NULL:
 * the connection can only be closed. */
void response_render(struct Response *response);
/* Says that this is the last answer on its connection. Nobody else may be using `rendered`. */
void response_announce_close(struct MHD_Response *rendered);

void response_clear(struct Response *response);
#define _cleanup_response_ _cleanup_(response_clear)
