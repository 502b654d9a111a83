/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/base/http-client.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>

/* Over a unix socket no host is looked up: it is what the daemon reads in Host:. */
#define HOST "http://localhost"

DEFINE_POINTER_CLEANUP(CURL *, curl_easy_cleanup)
#define _cleanup_curl_ _cleanup_(curl_easy_cleanupp)
DEFINE_POINTER_CLEANUP(struct curl_slist *, curl_slist_free_all)
#define _cleanup_slist_ _cleanup_(curl_slist_free_allp)

/* One request under way. */
struct Exchange {
        const struct Operation *operation;
        char *text; /* of the answer, with a NUL behind it */
        size_t size, size_max;
        int error; /* why libcurl was told to stop: an errno value */
};

static void exchange_clear(struct Exchange *exchange) {
        free(exchange->text);
}

static int tell(char **ret_problem, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
static int tell(char **ret_problem, int error, const char *format, ...) {
        va_list arguments;
        int length;

        va_start(arguments, format);
        length = vasprintf(ret_problem, format, arguments);
        va_end(arguments);
        if (length >= 0)
                return -error;
        *ret_problem = NULL;
        return -ENOMEM;
}

/* libcurl is set up once in a process, before its first handle; it is never torn down, as somebody
 * else may use it too. */
static CURLcode set_up;

static void set_up_once(void) {
        set_up = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t receive(char *data, size_t one, size_t n, void *userdata) {
        struct Exchange *exchange = userdata;
        char *grown;

        (void) one; /* is 1 */
        if (n > exchange->size_max - exchange->size) {
                exchange->error = EFBIG;
                return CURL_WRITEFUNC_ERROR;
        }
        grown = realloc(exchange->text, exchange->size + n + 1);
        if (!grown) {
                exchange->error = ENOMEM;
                return CURL_WRITEFUNC_ERROR;
        }
        memcpy(grown + exchange->size, data, n);
        exchange->text = grown;
        exchange->size += n;
        grown[exchange->size] = '\0';
        return n;
}

/* Called about once a second, and sooner while data flows. */
static int look_up(void *userdata, curl_off_t total, curl_off_t now, curl_off_t upload_total,
        curl_off_t uploaded) {
        struct Exchange *exchange = userdata;

        (void) total, (void) now, (void) upload_total, (void) uploaded;
        if (!operation_cancelled(exchange->operation))
                return 0;
        exchange->error = EINTR;
        return 1;
}

static long milliseconds(uint64_t ms) {
        return ms < 1 ? 1 : ms < LONG_MAX ? (long) ms : LONG_MAX;
}

/* What differs between a socket of ours and a server of others. */
static CURLcode address(CURL *curl, const struct HttpRequest *request) {
        CURLcode code;

        if (!request->socket)
                return curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        code = curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, request->socket);
        return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
}

/* An option that is refused is one that this libcurl was built without. */
static CURLcode prepare(CURL *curl, const struct HttpRequest *request, const char *url,
        const char *body, struct curl_slist *headers, struct Exchange *exchange) {
        CURLcode codes[] = {
                curl_easy_setopt(curl, CURLOPT_URL, url),
                address(curl, request),
                curl_easy_setopt(curl, CURLOPT_PROXY, ""),
                curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L),
                curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, milliseconds(request->deadline_ms)),
                curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive),
                curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange),
                curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L),
                curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_up),
                curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange),
                curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers),
                body ? curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body) : CURLE_OK,
                request->method ? curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method)
                                : CURLE_OK,
        };

        for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
                if (codes[i] != CURLE_OK)
                        return codes[i];
        return CURLE_OK;
}

/* Expect: is turned off: a server that does not know it would be waited for. */
static int make_headers(const struct HttpRequest *request, struct curl_slist **ret_headers) {
        _cleanup_free_ char *authorization = NULL;
        _cleanup_slist_ struct curl_slist *headers = NULL;
        const char *lines[] = { "Content-Type: application/json", "Expect:", NULL };

        if (request->bearer &&
                asprintf(&authorization, "Authorization: Bearer %s", request->bearer) < 0) {
                authorization = NULL;
                return -ENOMEM;
        }
        lines[2] = authorization;
        for (size_t i = 0; i < sizeof lines / sizeof lines[0] && lines[i]; i++) {
                struct curl_slist *longer = curl_slist_append(headers, lines[i]);

                if (!longer)
                        return -ENOMEM;
                headers = longer;
        }
        *ret_headers = STEAL(headers);
        return 0;
}

static int error_of(CURLcode code) {
        switch (code) {
        case CURLE_COULDNT_CONNECT:
        case CURLE_COULDNT_RESOLVE_HOST:
                return ECONNREFUSED;
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_GOT_NOTHING:
        case CURLE_PARTIAL_FILE:
                return ECONNRESET;
        default:
                return EIO;
        }
}

static int tell_failure(const struct HttpRequest *request, const struct Exchange *exchange,
        CURLcode code, char **ret_problem) {
        if (exchange->error == EFBIG)
                return tell(ret_problem, EFBIG, "an answer of more than %zu MiB",
                        exchange->size_max >> 20);
        if (exchange->error == EINTR)
                return tell(ret_problem, EINTR, "a signal to stop");
        if (exchange->error == ENOMEM || code == CURLE_OUT_OF_MEMORY)
                return -ENOMEM;
        if (code == CURLE_OPERATION_TIMEDOUT)
                return tell(ret_problem, ETIMEDOUT, "no answer within %" PRIu64 " ms",
                        request->deadline_ms);
        return tell(ret_problem, error_of(code), "no answer (%s)", curl_easy_strerror(code));
}

static int parse(
        const struct Exchange *exchange, long status, json_object **ret_body, char **ret_problem) {
        _cleanup_free_ char *problem = NULL;
        int r;

        r = json_document_parse(exchange->text ? exchange->text : "", exchange->size,
                HTTP_ANSWER_DEEP, ret_body, &problem);
        if (r == -EBADMSG)
                return tell(ret_problem, EBADMSG, "an answer that is no JSON (%s, with status %ld)",
                        problem ? problem : "malformed", status);
        return r;
}

int http_request(const struct Operation *operation, const struct HttpRequest *request,
        struct HttpAnswer *ret_answer, char **ret_problem) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        _cleanup_(exchange_clear) struct Exchange exchange = { .operation = operation,
                .size_max = request->answer_max > 0 ? request->answer_max : HTTP_ANSWER_MAX };
        _cleanup_slist_ struct curl_slist *headers = NULL;
        _cleanup_curl_ CURL *curl = NULL;
        _cleanup_free_ char *url = NULL;
        const char *body = request->text;
        json_object *document = NULL;
        long status = 0;
        CURLcode code;
        int r;

        if (operation_cancelled(operation))
                return tell(ret_problem, EINTR, "a signal to stop");
        (void) pthread_once(&once, set_up_once);
        curl = set_up == CURLE_OK ? curl_easy_init() : NULL;
        if (asprintf(&url, "%s%s", request->socket ? HOST : request->url, request->path) < 0)
                url = NULL;
        if (request->body)
                body = json_object_to_json_string_ext(request->body, JSON_C_TO_STRING_PLAIN);
        if (!curl || !url || (request->body && !body))
                return -ENOMEM;
        r = make_headers(request, &headers);
        if (r < 0)
                return r;

        code = prepare(curl, request, url, body, headers, &exchange);
        if (code == CURLE_OK)
                code = curl_easy_perform(curl);
        if (code == CURLE_OK)
                code = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        if (code != CURLE_OK)
                return tell_failure(request, &exchange, code, ret_problem);
        r = parse(&exchange, status, &document, ret_problem);
        if (r < 0)
                return r;
        *ret_answer = (struct HttpAnswer){ .status = status, .body = document };
        return 0;
}
