/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One HTTP request as it arrives: its head, then its body up to a limit. Once it is whole it no
 * longer changes and a worker may read it on another thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/access.h"
#include "daemon/uri.h"

#define REQUEST_BODY_MAX      (1u << 20)  /* a larger one is refused */
#define REQUEST_BODY_DROP_MAX (16u << 20) /* but read up to here, so that the client sees why */

struct MHD_Connection;

enum Method {
        METHOD_GET,
        METHOD_HEAD, /* GET, and the server sends no body */
        METHOD_POST,
        METHOD_PUT,
        METHOD_OTHER,
};

struct Parameter {
        char *name;
        char *value;
};

struct Request {
        enum Method method;
        struct UriPath path;
        char *authority;              /* of an absolute-form target; NULL for the usual ones */
        struct Parameter *parameters; /* of the query, decoded */
        size_t n_parameters;

        bool has_body;         /* one is announced */
        bool is_json;          /* and said to be JSON */
        bool expects_continue; /* the client waits before it sends it */
        bool dropped;          /* it is only counted */
        uint64_t announced;    /* Content-Length, 0 when unknown */
        uint64_t received;     /* bytes so far */
        char *body;            /* NUL-terminated; NULL when there is none or it is dropped */
        size_t body_size;
        size_t body_allocated;
};

enum RequestFault {
        REQUEST_SOUND,
        REQUEST_TARGET_INVALID,  /* path or query: bad escape, NUL, not UTF-8 */
        REQUEST_FRAMING_INVALID, /* its end cannot be told for certain: the connection must close */
        REQUEST_OUT_OF_MEMORY,
};

/* Takes over the head. *ret_head borrows from the connection; both are valid whatever the fault. */
enum RequestFault request_begin(struct Request *request, struct MHD_Connection *connection,
        const char *target, const char *method, const char *version, struct AccessHead *ret_head);

enum RequestBody {
        REQUEST_BODY_TAKEN,
        REQUEST_BODY_DROPPED, /* over REQUEST_BODY_MAX, or memory ran out: counted only */
        REQUEST_BODY_ENDLESS, /* over REQUEST_BODY_DROP_MAX */
};

enum RequestBody request_add_body(struct Request *request, const char *data, size_t size);
/* From now on the body is only counted. */
void request_drop_body(struct Request *request);

void request_clear(struct Request *request);
