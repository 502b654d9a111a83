/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/http-client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/scratch.h"

/* A server that gives one answer, whatever is asked, and keeps what it was sent. */
struct Server {
        const char *answer; /* NULL: none, and the connection stays */
        size_t more;        /* bytes of padding behind it */
};

static void take_request(int fd) {
        char text[8192];
        size_t size = 0;

        /* Until the end of the head, or of a body (which in these tests is an object). */
        while (size < 4 || (memcmp(text + size - 4, "\r\n\r\n", 4) != 0 && text[size - 1] != '}') ||
                (strncmp(text, "GET", 3) != 0 && text[size - 1] != '}')) {
                ssize_t n = read(fd, text + size, sizeof text - 1 - size);

                MUST(n > 0);
                size += (size_t) n;
        }
        scratch_write(scratch("request"), text, size);
}

static void serve(int ready, void *userdata) {
        const struct Server *server = userdata;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), connection;

        MUST(strlen(scratch("socket")) < sizeof address.sun_path);
        memcpy(address.sun_path, scratch("socket"), strlen(scratch("socket")) + 1);
        MUST(fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof address) >= 0);
        MUST(listen(fd, 8) >= 0);
        child_ready(ready);
        connection = accept(fd, NULL, NULL);
        MUST(connection >= 0);
        take_request(connection);
        if (!server->answer)
                for (;;)
                        (void) pause();
        MUST(write_all(connection, server->answer, strlen(server->answer)) == 0);
        for (size_t i = 0; i < server->more; i += MIB) {
                static char padding[MIB];

                memset(padding, ' ', sizeof padding);
                if (write_all(connection, padding, sizeof padding) < 0)
                        break;
        }
        (void) close(connection);
}

static int ask(const struct Operation *operation, json_object *body, uint64_t deadline_ms,
        struct HttpAnswer *ret_answer, char **ret_problem) {
        const struct HttpRequest request = { .socket = scratch("socket"),
                .path = "/a?b=c",
                .body = body,
                .deadline_ms = deadline_ms };

        return http_request(operation, &request, ret_answer, ret_problem);
}

static char *request_of(const char *answer, json_object *body, struct HttpAnswer *ret_answer) {
        struct Server server = { .answer = answer };
        struct Child child = child_start(serve, &server);
        _cleanup_free_ char *problem = NULL;

        if (ask(NULL, body, 60000, ret_answer, &problem) < 0)
                fail_msg("%s", problem);
        MUST(child_wait(&child) == 0);
        MUST(unlink(scratch("socket")) >= 0);
        return scratch_read(scratch("request"), NULL);
}

/* The same over TCP, where a server of others is. */
static void serve_tcp(int ready, void *userdata) {
        const struct Server *server = userdata;
        struct sockaddr_in address = { .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), connection;
        char port[16];

        MUST(fd >= 0 && bind(fd, (struct sockaddr *) &address, size) >= 0);
        MUST(listen(fd, 8) >= 0 && getsockname(fd, (struct sockaddr *) &address, &size) >= 0);
        (void) snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
        scratch_write(scratch("port"), port, strlen(port));
        child_ready(ready);
        connection = accept(fd, NULL, NULL);
        MUST(connection >= 0);
        take_request(connection);
        MUST(write_all(connection, server->answer, strlen(server->answer)) == 0);
        (void) close(connection);
}

#define HEAD(status) "HTTP/1.1 " status "\r\nContent-Type: application/json\r\n"

static void test_get_gives_status_and_document(void **state) {
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *request = NULL;

        (void) state;
        request = request_of(
                HEAD("200 OK") "Content-Length: 13\r\n\r\n{\"a\": [1, 2]}", NULL, &answer);
        assert_int_equal(answer.status, 200);
        assert_string_equal(json_object_to_json_string_ext(answer.body, JSON_C_TO_STRING_PLAIN),
                "{\"a\":[1,2]}");
        assert_int_equal(strncmp(request, "GET /a?b=c HTTP/1.1\r\n", 21), 0);
        assert_non_null(strstr(request, "\r\nHost: localhost\r\n"));
}

static void test_post_sends_json(void **state) {
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_json_ json_object *body = json_object_new_object();
        _cleanup_free_ char *request = NULL;

        (void) state;
        MUST(json_object_object_add(body, "prompt", json_object_new_string("\xc3\xa4 \"")) == 0);
        request = request_of(HEAD("503 Unavailable") "\r\n{\"code\":\"x\"}", body, &answer);
        assert_int_equal(answer.status, 503);
        assert_int_equal(strncmp(request, "POST /a?b=c HTTP/1.1\r\n", 22), 0);
        assert_non_null(strstr(request, "\r\nContent-Type: application/json\r\n"));
        assert_non_null(strstr(request, "\r\n\r\n{\"prompt\":\"\xc3\xa4 \\\"\"}"));
}

static void test_a_server_by_its_url(void **state) {
        struct Server server = { .answer = HEAD("200 OK") "\r\n{}" };
        struct Child child = child_start(serve_tcp, &server);
        _cleanup_free_ char *port = scratch_read(scratch("port"), NULL), *url = NULL;
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *problem = NULL, *sent = NULL;
        struct HttpRequest request = { .path = "/x",
                .method = "PUT",
                .text = "{\"a\":1}",
                .bearer = "secret",
                .deadline_ms = 60000,
                .answer_max = 100 };

        (void) state;
        MUST(asprintf(&url, "http://127.0.0.1:%s", port) > 0);
        request.url = url;
        if (http_request(NULL, &request, &answer, &problem) < 0)
                fail_msg("%s", problem);
        MUST(child_wait(&child) == 0);
        sent = scratch_read(scratch("request"), NULL);
        assert_int_equal(strncmp(sent, "PUT /x HTTP/1.1\r\n", 17), 0);
        assert_non_null(strstr(sent, "\r\nAuthorization: Bearer secret\r\n"));
        assert_non_null(strstr(sent, "\r\n\r\n{\"a\":1}"));
        assert_null(strstr(sent, "Expect"));
}

static void test_a_proxy_is_none_of_its_business(void **state) {
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *request = NULL;

        (void) state;
        MUST(setenv("http_proxy", "http://127.0.0.1:1/", 1) >= 0);
        MUST(setenv("all_proxy", "http://127.0.0.1:1/", 1) >= 0);
        request = request_of(
                HEAD("302 Found") "Location: http://127.0.0.1:1/\r\n\r\nnull", NULL, &answer);
        MUST(unsetenv("http_proxy") >= 0 && unsetenv("all_proxy") >= 0);
        assert_int_equal(answer.status, 302); /* and not followed */
        assert_null(answer.body);
}

static void assert_problem(const struct Server *what, uint64_t deadline_ms, int expected,
        const char *expected_problem) {
        struct Server server = *what;
        struct Child child = child_start(serve, &server);
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *problem = NULL;
        int r = ask(NULL, NULL, deadline_ms, &answer, &problem);

        child_kill(&child);
        MUST(unlink(scratch("socket")) >= 0);
        assert_int_equal(r, expected);
        assert_non_null(problem);
        if (!strstr(problem, expected_problem))
                fail_msg("\"%s\" does not say \"%s\"", problem, expected_problem);
}

static void test_what_is_no_answer_is_told(void **state) {
        (void) state;
        assert_problem(&(struct Server){ 0 }, 100, -ETIMEDOUT, "no answer within 100 ms");
        assert_problem(&(struct Server){ .answer = HEAD("200 OK") "\r\n<html>" }, 60000, -EBADMSG,
                "an answer that is no JSON (line 1");
        assert_problem(&(struct Server){ .answer = HEAD("200 OK") "\r\n" }, 60000, -EBADMSG,
                "an answer that is no JSON");
        assert_problem(&(struct Server){ .answer = HEAD("200 OK") "Content-Length: 9\r\n\r\n{}" },
                60000, -ECONNRESET, "no answer (");
        assert_problem(&(struct Server){ .answer = "" }, 60000, -ECONNRESET, "no answer (");
        assert_problem(
                &(struct Server){ .answer = "220 not HTTP\r\n" }, 60000, -EIO, "no answer (");
}

static void test_an_answer_without_end_is_refused(void **state) {
        (void) state;
        assert_problem(&(struct Server){ .answer = HEAD("200 OK") "\r\n{}",
                               .more = HTTP_ANSWER_MAX + MIB },
                60000, -EFBIG, "an answer of more than 16 MiB");
}

static void test_nobody_there(void **state) {
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *problem = NULL;

        (void) state;
        assert_int_equal(ask(NULL, NULL, 60000, &answer, &problem), -ECONNREFUSED);
        assert_non_null(problem);
}

static bool later(void *userdata) {
        unsigned *asked = userdata;

        return ++*asked > 1;
}

static void test_waiting_can_be_cancelled(void **state) {
        struct Server server = { 0 };
        struct Child child = child_start(serve, &server);
        unsigned asked = 0;
        const struct Operation operation = { .cancelled = later, .userdata = &asked };
        _cleanup_http_answer_ struct HttpAnswer answer = { 0 };
        _cleanup_free_ char *problem = NULL;
        int r = ask(&operation, NULL, UINT64_MAX, &answer, &problem);

        (void) state;
        child_kill(&child);
        assert_int_equal(r, -EINTR);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_SCRATCH(test_get_gives_status_and_document),
                IN_SCRATCH(test_post_sends_json),
                IN_SCRATCH(test_a_server_by_its_url),
                IN_SCRATCH(test_a_proxy_is_none_of_its_business),
                IN_SCRATCH(test_what_is_no_answer_is_told),
                IN_SCRATCH(test_an_answer_without_end_is_refused),
                IN_SCRATCH(test_nobody_there),
                IN_SCRATCH(test_waiting_can_be_cancelled),
        };
        (void) signal(SIGPIPE, SIG_IGN);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
