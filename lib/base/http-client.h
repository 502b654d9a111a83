/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * JSON over HTTP, to a daemon of ours on a unix socket or to a server by its URL: one request, one
 * connection, one answer, all within a deadline. No proxy, no redirect, nothing of the caller's
 * environment has a say.
 */

#include <stdint.h>

#include "lib/base/json-document.h"
#include "lib/base/operation.h"

#define HTTP_ANSWER_MAX  ((size_t) 16 << 20) /* bytes; what is larger is refused */
#define HTTP_ANSWER_DEEP 32                  /* nesting of its JSON */

struct HttpRequest {
        const char *socket; /* path, at most 107 bytes; NULL: over TCP to `url` */
        const char *url;    /* "http://127.0.0.1:8000" or "https://…", before the path */
        const char *path;   /* "/health" */
        const char *method; /* NULL: POST with a body, GET without */
        json_object *body;  /* to be sent; borrowed. NULL: none */
        const char *text;   /* the same as text of JSON, for who has it as such */
        const char *bearer; /* token for Authorization:, or NULL */
        uint64_t deadline_ms;
        size_t answer_max; /* bytes; 0: HTTP_ANSWER_MAX */
};

struct HttpAnswer {
        long status;
        json_object *body; /* owned; NULL for null */
};

/* Any status with a JSON body is an answer. -EINTR when the operation is cancelled, -ENOMEM,
 * -ETIMEDOUT past the deadline, -EFBIG, -EBADMSG when the body is no JSON, -ECONNREFUSED when
 * nobody serves there, -ECONNRESET when the connection ended before the answer did, else -EIO; but
 * for -ENOMEM *ret_problem then says what came instead, as part of a sentence (the caller frees).
 * `operation` may be NULL. */
int http_request(const struct Operation *operation, const struct HttpRequest *request,
        struct HttpAnswer *ret_answer, char **ret_problem);

static inline void http_answer_clear(struct HttpAnswer *answer) {
        (void) json_object_put(answer->body);
        *answer = (struct HttpAnswer){ 0 };
}
#define _cleanup_http_answer_ _cleanup_(http_answer_clear)
