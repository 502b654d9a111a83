/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * JSON over HTTP to a daemon of ours on a unix socket: one request, one connection, one answer, all
 * within a deadline. No proxy, no redirect, nothing of the caller's environment has a say.
 */

#include <stdint.h>

#include "lib/base/json-document.h"
#include "lib/base/operation.h"

#define HTTP_ANSWER_MAX  ((size_t) 16 << 20) /* bytes; what is larger is refused */
#define HTTP_ANSWER_DEEP 32                  /* nesting of its JSON */

struct HttpRequest {
        const char *socket; /* path, at most 107 bytes */
        const char *path;   /* "/health" */
        json_object *body;  /* to be posted; borrowed. NULL: GET */
        uint64_t deadline_ms;
};

struct HttpAnswer {
        long status;
        json_object *body; /* owned; NULL for null */
};

/* Any status with a JSON body is an answer. -EINTR when the operation is cancelled, -ENOMEM,
 * -ETIMEDOUT past the deadline, -EFBIG, -EBADMSG when the body is no JSON, -ECONNREFUSED when
 * nobody serves there, else -EIO; but for -ENOMEM *ret_problem then says what came instead, as part
 * of a sentence (the caller frees). `operation` may be NULL. */
int http_request(const struct Operation *operation, const struct HttpRequest *request,
        struct HttpAnswer *ret_answer, char **ret_problem);

void http_answer_clear(struct HttpAnswer *answer);
#define _cleanup_http_answer_ _cleanup_(http_answer_clear)
