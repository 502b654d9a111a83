/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One request and its answer: what is decided about it, when, and by whom. Knows nothing of
 * libmicrohttpd.
 */

#include "daemon/access.h"
#include "daemon/jobs.h"
#include "daemon/request.h"
#include "daemon/response.h"
#include "daemon/route.h"

struct Exchange {
        struct Job job; /* runs the route's handler; must be first */
        struct AccessPeer peer;
        struct Request request;
        struct Response response;  /* its status is 0 until the answer is known */
        const struct Route *route; /* NULL when there is none */
};

/* When the head is there: finds the route, and refuses what needs no body to be refused. */
void exchange_judge_head(struct Exchange *exchange, const struct AccessRules *rules,
        enum RequestFault fault, const struct AccessHead *head);
/* Whether the answer, a refusal, must not wait for the body: it is too long to be dropped, its end
 * cannot be told, or the client waits for a word before it sends it. */
bool exchange_answers_early(const struct Exchange *exchange, enum RequestFault fault);
/* When the body is there too: refuses what the route would not want to see. */
void exchange_judge_body(struct Exchange *exchange);

/* The job: the route's handler, rendered. */
void exchange_run(struct Job *job, struct Worker *worker);

/* Renders an answer that was found without a handler. */
void exchange_render(struct Exchange *exchange);

void exchange_clear(struct Exchange *exchange);
