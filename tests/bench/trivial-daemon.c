/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * trivial-daemon: the least that systemd can activate. Says that it is ready, and gives each
 * connection to the socket that it was handed the same answer.
 */

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#define ANSWER                                                                                     \
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"               \
        "Connection: close\r\n\r\n{}"

int main(void) {
        if (sd_listen_fds(1) != 1 || sd_notify(1, "READY=1") < 0)
                return EXIT_FAILURE;
        for (;;) {
                char request[4096];
                int connection = accept(SD_LISTEN_FDS_START, NULL, NULL);

                if (connection < 0)
                        return EXIT_FAILURE;
                if (read(connection, request, sizeof request) > 0)
                        (void) send(connection, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL);
                (void) close(connection);
        }
}
