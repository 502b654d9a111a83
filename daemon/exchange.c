/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/exchange.h"

#include <string.h>

#include "lib/base/event.h"

/* Reporting. */

static const char *method_name(enum Method method) {
        switch (method) {
        case METHOD_GET:
                return "GET";
        case METHOD_HEAD:
                return "HEAD";
        case METHOD_POST:
                return "POST";
        case METHOD_PUT:
                return "PUT";
        default:
                return "a request for";
        }
}

/* An answer of 5xx is a failure of ours, told once, whoever finds it. */
static void report(const struct Exchange *exchange) {
        const struct Response *response = &exchange->response;
        const struct Failure *cause = &response->cause;

        if (response->status < HTTP_INTERNAL_ERROR)
                return;
        event_emit(
                &(struct Event){
                        .id = EVENT_REQUEST_FAILED,
                        .code = response->code,
                        .stamp = cause->stamp[0] != '\0' ? cause->stamp : NULL,
                        .path = cause->path,
                        .error = cause->error,
                },
                "%s %s was answered with %u: %s", method_name(exchange->request.method),
                exchange->route ? exchange->route->pattern : "an unknown path", response->status,
                response->detail ? response->detail : response->code);
}

/* Refusals, in the order in which they are looked for. */

static void judge_fault(struct Exchange *exchange, enum RequestFault fault) {
        switch (fault) {
        case REQUEST_SOUND:
                break;
        case REQUEST_TARGET_INVALID:
                (void) response_problem(&exchange->response, HTTP_BAD_REQUEST, "target_malformed",
                        "The path or the query has an escape that is none, or is not UTF-8");
                break;
        case REQUEST_FRAMING_INVALID:
                (void) response_problem(&exchange->response, HTTP_BAD_REQUEST, "framing_malformed",
                        "The header fields contradict each other about where the request ends");
                break;
        case REQUEST_OUT_OF_MEMORY:
                (void) response_out_of_memory(&exchange->response);
                break;
        }
}

static const struct {
        unsigned status;
        const char *code;
        const char *detail;
} refusals[] = {
        [ACCESS_HOST_AMBIGUOUS] = { HTTP_BAD_REQUEST, "host_ambiguous",
                "A request needs exactly one Host field" },
        [ACCESS_HOST_FOREIGN] = { HTTP_FORBIDDEN, "host_foreign",
                "The Host field names neither the loopback nor this machine; a name that is to be "
                "accepted belongs into allowed_hosts= of atocore.conf" },
        [ACCESS_ORIGIN_FOREIGN] = { HTTP_FORBIDDEN, "origin_foreign",
                "The request comes from a web page of another origin; one that is to be accepted "
                "belongs into allowed_hosts= of atocore.conf" },
        [ACCESS_TOKEN_MISSING] = { HTTP_UNAUTHORIZED, "token_missing",
                "A token is needed: Authorization: Bearer TOKEN" },
        [ACCESS_TOKEN_WRONG] = { HTTP_UNAUTHORIZED, "token_wrong", "The token is not right" },
        [ACCESS_ADMIN_TOKEN_ONLY] = { HTTP_UNAUTHORIZED, "admin_token_needed",
                "This token is for asking; administration needs the admin token" },
        [ACCESS_LOOPBACK_ONLY] = { HTTP_FORBIDDEN, "admin_from_elsewhere",
                "Without an admin token, administration is for the loopback and the admin socket" },
};

static void judge_access(
        struct Exchange *exchange, const struct AccessRules *rules, const struct AccessHead *head) {
        enum AccessNeed need = exchange->route ? exchange->route->access : ACCESS_OPEN;
        enum AccessVerdict verdict = access_judge(rules, &exchange->peer, head, need);

        if (verdict != ACCESS_GRANTED)
                (void) response_problem(&exchange->response, refusals[verdict].status,
                        refusals[verdict].code, "%s", refusals[verdict].detail);
}

static void judge_route(struct Exchange *exchange, enum RouteMatch match, const char *allow) {
        struct Response *response = &exchange->response;

        if (response->status != 0 || match == ROUTE_FOUND)
                return;
        if (match == ROUTE_PATH_UNKNOWN) {
                (void) response_problem(
                        response, HTTP_NOT_FOUND, "path_unknown", "There is nothing at this path");
                return;
        }
        (void) response_problem(response, HTTP_METHOD_NOT_ALLOWED, "method_not_allowed",
                "This path answers to %s", allow);
        response->allow = allow;
}

static void refuse_large_body(struct Response *response) {
        (void) response_problem(response, HTTP_CONTENT_TOO_LARGE, "body_too_large",
                "The body may have %u bytes, this one has more", REQUEST_BODY_MAX);
}

static void judge_announced_body(struct Exchange *exchange) {
        const struct Request *request = &exchange->request;

        if (request->announced > REQUEST_BODY_MAX)
                refuse_large_body(&exchange->response);
        else if (request->has_body && !request->is_json &&
                (request->method == METHOD_POST || request->method == METHOD_PUT))
                (void) response_problem(&exchange->response, HTTP_UNSUPPORTED_MEDIA_TYPE,
                        "media_type_unsupported",
                        "The body must be JSON, sent as Content-Type: application/json");
}

void exchange_judge_head(struct Exchange *exchange, const struct AccessRules *rules,
        enum RequestFault fault, const struct AccessHead *head) {
        enum RouteMatch match = ROUTE_PATH_UNKNOWN;
        const char *allow = NULL;

        if (fault == REQUEST_SOUND)
                match = route_match(routes, exchange->request.method, &exchange->request.path,
                        &exchange->route, &allow);
        judge_fault(exchange, fault);
        if (exchange->response.status == 0)
                judge_access(exchange, rules, head);
        judge_route(exchange, match, allow);
        judge_announced_body(exchange);
        if (exchange->response.status != 0)
                request_drop_body(&exchange->request);
}

bool exchange_answers_early(const struct Exchange *exchange, enum RequestFault fault) {
        const struct Request *request = &exchange->request;

        if (exchange->response.status == 0)
                return false;
        return fault == REQUEST_FRAMING_INVALID || request->announced > REQUEST_BODY_DROP_MAX ||
                (request->has_body && request->expects_continue);
}

void exchange_judge_body(struct Exchange *exchange) {
        const struct Request *request = &exchange->request;

        if (exchange->response.status != 0 || !request->dropped)
                return;
        if (request->received > REQUEST_BODY_MAX)
                refuse_large_body(&exchange->response);
        else
                (void) response_out_of_memory(&exchange->response); /* it was when it came */
}

/* Answering. */

static bool store_failed(const struct Response *response) {
        switch (response->cause.event) {
        case EVENT_DATABASE_MISSING:
        case EVENT_DATABASE_INVALID:
        case EVENT_DATABASE_FOREIGN:
        case EVENT_DATABASE_TOO_NEW:
        case EVENT_DATABASE_FAILED:
                return true;
        default:
                return false;
        }
}

void exchange_run(struct Job *job, struct Worker *worker) {
        struct Exchange *exchange = (struct Exchange *) job;

        exchange->route->handle(worker, &exchange->request, &exchange->response);
        if (store_failed(&exchange->response))
                worker_close_store(worker);
        exchange_render(exchange);
}

void exchange_render(struct Exchange *exchange) {
        response_render(&exchange->response);
        report(exchange);
}

void exchange_clear(struct Exchange *exchange) {
        request_clear(&exchange->request);
        response_clear(&exchange->response);
        exchange->route = NULL;
}
