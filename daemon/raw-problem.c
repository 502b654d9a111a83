/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/raw-problem.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#define RETRY_AFTER_SECONDS 5

int raw_problem_send(
        int fd, unsigned status, const char *reason, const char *code, const char *detail) {
        char body[384], answer[640];
        int size;

        size = snprintf(body, sizeof body,
                "{\"type\":\"urn:atocore:problem:%s\",\"title\":\"%s\",\"status\":%u,"
                "\"detail\":\"%s\",\"code\":\"%s\"}\n",
                code, reason, status, detail, code);
        size = snprintf(answer, sizeof answer,
                "HTTP/1.1 %u %s\r\n"
                "Content-Type: application/problem+json\r\n"
                "Content-Length: %d\r\n"
                "Retry-After: %d\r\n"
                "Connection: close\r\n"
                "\r\n%s",
                status, reason, size, RETRY_AFTER_SECONDS, body);
        return send(fd, answer, (size_t) size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}
