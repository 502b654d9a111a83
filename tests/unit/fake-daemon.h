/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Daemons for lib/backup/private-daemon to start: the real one of the build, and one that
 * misbehaves, which is the test program itself: what it does stands in FAKE_DAEMON, and main() asks
 * first. Included behind cmocka.h.
 */

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/backup/private-daemon.h"
#include "tests/unit/scratch.h"

#define FAKE_DAEMON "FAKE_DAEMON"
#define FAKE_END_MS 30000 /* until what was killed is gone, on a machine that is very busy */

static int fake_life[2] = { -1, -1 }; /* a pipe, and whoever is alive has its write end */

static inline void fake_ready(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const char *path = getenv("NOTIFY_SOCKET");

        MUST(fd >= 0 && path && strlen(path) < sizeof address.sun_path);
        memcpy(address.sun_path, path, strlen(path) + 1);
        MUST(sendto(fd, "STATUS=x\n", 9, 0, (struct sockaddr *) &address, sizeof address) == 9);
        MUST(sendto(fd, "A=1\nREADY=1\n", 12, 0, (struct sockaddr *) &address, sizeof address) ==
                12);
        (void) close(fd);
}

/* On proof.sock, beside the socket of the manager: the kernel accepts, nobody else does. */
static inline void fake_listen(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        const char *path = getenv("NOTIFY_SOCKET");
        int length;

        MUST(fd >= 0 && path && strrchr(path, '/'));
        length = (int) (strrchr(path, '/') - path);
        MUST((size_t) length + sizeof "/proof.sock" <= sizeof address.sun_path);
        memcpy(address.sun_path, path, (size_t) length);
        memcpy(address.sun_path + length, "/proof.sock", sizeof "/proof.sock");
        MUST(bind(fd, (struct sockaddr *) &address, sizeof address) >= 0 && listen(fd, 8) >= 0);
}

/* First in main(): does not come back in a process that is to be a daemon. */
static inline void fake_daemon_if_asked(void) {
        const char *what = getenv(FAKE_DAEMON);

        if (!what)
                return;
        if (strcmp(what, "ends when ready") == 0) {
                fake_ready();
                MUST(write(STDERR_FILENO, "first words\nlast words\n", 23) == 23);
                _exit(3);
        }
        if (strcmp(what, "does not end") == 0) {
                MUST(signal(SIGTERM, SIG_IGN) != SIG_ERR);
                if (fork() > 0)
                        fake_ready();
        }
        if (strcmp(what, "accepts and is silent") == 0)
                fake_listen();
        if (strcmp(what, "is ready") == 0 || strcmp(what, "accepts and is silent") == 0)
                fake_ready();
        for (;;) /* "is never ready", or so */
                (void) pause();
}

/* Of a process that is started from here on. */
static inline void fake_daemon(const char *what) {
        MUST(setenv(FAKE_DAEMON, what, 1) >= 0);
        MUST(setenv(PRIVATE_DAEMON_VARIABLE, "/proc/self/exe", 1) >= 0);
        MUST(pipe2(fake_life, 0) >= 0);
        MUST(fcntl(fake_life[0], F_SETFD, FD_CLOEXEC) >= 0);
}

/* Nobody has the pipe's other end any more: it, and what it started, is gone. */
static inline void assert_fake_is_gone(void) {
        struct pollfd end = { .fd = fake_life[0], .events = POLLIN };
        char byte;

        (void) close(fake_life[1]);
        fake_life[1] = -1;
        assert_int_equal(poll(&end, 1, FAKE_END_MS), 1);
        assert_int_equal(read(fake_life[0], &byte, 1), 0);
}

/* No child is left, not even a dead one. */
static inline void assert_no_child(void) {
        assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

/* That of the build, one directory above the tests. */
static inline void real_daemon(void) {
        char path[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

        MUST(n > 0);
        path[n] = '\0';
        *strrchr(path, '/') = '\0';
        MUST(snprintf(strrchr(path, '/'), sizeof "/atocored", "/atocored") > 0);
        MUST(setenv(PRIVATE_DAEMON_VARIABLE, path, 1) >= 0);
}

static inline void forget_daemons(void) {
        for (size_t i = 0; i < 2; i++) {
                if (fake_life[i] >= 0)
                        (void) close(fake_life[i]);
                fake_life[i] = -1;
        }
        MUST(unsetenv(FAKE_DAEMON) >= 0 && unsetenv(PRIVATE_DAEMON_VARIABLE) >= 0);
}
