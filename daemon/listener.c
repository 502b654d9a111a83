/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "daemon/access.h"

#define BACKLOG            512
#define UNIX_SOCKET_UMASK  0117 /* 0660: owner and group */
#define LISTEN_UNIX_PREFIX "unix:"

union Address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
        struct sockaddr_storage storage;
};

static int append(struct Listeners *listeners, struct Listener *listener) {
        struct Listener *list = reallocarray(listeners->list, listeners->n + 1, sizeof *list);

        if (!list)
                return -ENOMEM;
        listeners->list = list;
        list[listeners->n++] = *listener;
        *listener = (struct Listener){ .fd = -1 };
        return 0;
}

static void listener_clear(struct Listener *listener) {
        if (listener->fd >= 0)
                (void) close(listener->fd);
        if (listener->socket_path)
                (void) unlink(listener->socket_path);
        free(listener->address);
        free(listener->socket_path);
}

/* What a client would write to get here. */
static char *describe(const union Address *address) {
        char host[INET6_ADDRSTRLEN], *text = NULL;
        int r = -1;

        switch (address->any.sa_family) {
        case AF_INET:
                if (inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host))
                        r = asprintf(&text, "http://%s:%u", host, ntohs(address->v4.sin_port));
                break;
        case AF_INET6:
                if (inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host))
                        r = asprintf(&text, "http://[%s]:%u", host, ntohs(address->v6.sin6_port));
                break;
        default: /* the name of an abstract socket begins with NUL */
                r = asprintf(&text, LISTEN_UNIX_PREFIX "%s%s",
                        address->local.sun_path[0] == '\0' ? "@" : "",
                        address->local.sun_path + (address->local.sun_path[0] == '\0'));
                break;
        }
        return r < 0 ? NULL : text;
}

/* Makes a listener of a listening socket, and adds it. */
static int adopt(struct Listeners *listeners, struct Listener *listener, struct Failure *failure) {
        union Address address = { 0 };
        socklen_t size = sizeof address;
        int flags;

        flags = fcntl(listener->fd, F_GETFL);
        if (flags < 0 || fcntl(listener->fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
                getsockname(listener->fd, &address.any, &size) < 0)
                return failure_set(failure, EVENT_LISTEN_FAILED, errno, NULL,
                        "Cannot use the socket that was passed: %m");
        listener->exposed = !access_address_is_loopback(&address.any);
        listener->address = describe(&address);
        return listener->address && append(listeners, listener) >= 0
                ? 0
                : failure_out_of_memory(failure);
}

/* systemd's. */

static int add_passed(
        struct Listeners *listeners, int fd, const char *name, struct Failure *failure) {
        struct Listener listener = { .fd = fd, .from_systemd = true };
        bool is_http = strcmp(name, "http") == 0;

        listener.admin = strcmp(name, "admin") == 0;
        if (!is_http && !listener.admin)
                return failure_set(failure, EVENT_LISTEN_FAILED, EINVAL, NULL,
                        "systemd passed a socket named '%s'; sockets are told apart by their name: "
                        "set FileDescriptorName=http or FileDescriptorName=admin in its unit",
                        name);
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
                return failure_set(failure, EVENT_LISTEN_FAILED, EINVAL, NULL,
                        "What systemd passed as '%s' is no listening stream socket; use "
                        "ListenStream= and leave Accept= off",
                        name);
        if (listener.admin && sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) <= 0)
                return failure_set(failure, EVENT_LISTEN_FAILED, EINVAL, NULL,
                        "The socket 'admin' is no unix socket: whoever reaches it administers, so "
                        "only file permissions may decide who does; name a TCP socket 'http'");
        return adopt(listeners, &listener, failure);
}

int listeners_from_systemd(struct Listeners *listeners, struct Failure *failure) {
        char **names = NULL;
        int n, r = 0;

        n = sd_listen_fds_with_names(1, &names);
        if (n < 0)
                return failure_set(failure, EVENT_LISTEN_FAILED, -n, NULL,
                        "Cannot take over the sockets of systemd: %m");
        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = add_passed(listeners, SD_LISTEN_FDS_START + i, names[i], failure);
                free(names[i]);
        }
        free(names);
        return r;
}

/* --listen. */

static bool parse_port(const char *text, in_port_t *ret_port) {
        unsigned long port;

        if (text[0] == '\0' || strlen(text) > 5 || text[strspn(text, "0123456789")] != '\0')
                return false;
        port = strtoul(text, NULL, 10);
        *ret_port = htons((uint16_t) port);
        return port <= UINT16_MAX;
}

static bool parse_tcp(const char *text, union Address *ret_address, socklen_t *ret_size) {
        const char *colon = strrchr(text, ':');
        char host[INET6_ADDRSTRLEN + 2] = "";
        union Address address = { 0 };
        in_port_t port;
        size_t size;

        if (!colon || !parse_port(colon + 1, &port))
                return false;
        size = (size_t) (colon - text);
        if (size == 0 || size >= sizeof host)
                return false;
        memcpy(host, text, size);

        if (host[0] == '[' && host[size - 1] == ']') {
                host[size - 1] = '\0';
                address.v6.sin6_family = AF_INET6;
                address.v6.sin6_port = port;
                *ret_size = sizeof address.v6;
                if (inet_pton(AF_INET6, host + 1, &address.v6.sin6_addr) != 1)
                        return false;
        } else {
                address.v4.sin_family = AF_INET;
                address.v4.sin_port = port;
                *ret_size = sizeof address.v4;
                if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                            &address.v4.sin_addr) != 1)
                        return false;
        }
        *ret_address = address;
        return true;
}

static bool parse(const char *text, union Address *ret_address, socklen_t *ret_size) {
        union Address address = { .local.sun_family = AF_UNIX };
        const char *path;

        if (strncmp(text, LISTEN_UNIX_PREFIX, strlen(LISTEN_UNIX_PREFIX)) != 0)
                return parse_tcp(text, ret_address, ret_size);
        path = text + strlen(LISTEN_UNIX_PREFIX);
        if (path[0] != '/' || strlen(path) >= sizeof address.local.sun_path)
                return false;
        memcpy(address.local.sun_path, path, strlen(path) + 1);
        *ret_address = address;
        *ret_size = sizeof address.local;
        return true;
}

bool listener_is_valid(const char *text) {
        union Address address;
        socklen_t size;

        return parse(text, &address, &size);
}

/* The file of a socket that nobody listens on any more, of a daemon that was killed. */
static bool is_left_over(const union Address *address, socklen_t size) {
        _cleanup_close_ int fd = -1;
        struct stat status;

        if (lstat(address->local.sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
                return false;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        return fd >= 0 && connect(fd, &address->any, size) < 0 && errno == ECONNREFUSED;
}

static int bind_unix(int fd, const union Address *address, socklen_t size) {
        mode_t before = umask(UNIX_SOCKET_UMASK); /* nobody can connect before the mode is right */
        int r = bind(fd, &address->any, size) < 0 ? -errno : 0;

        if (r == -EADDRINUSE && is_left_over(address, size) && unlink(address->local.sun_path) >= 0)
                r = bind(fd, &address->any, size) < 0 ? -errno : 0;
        (void) umask(before);
        return r;
}

static int bind_tcp(int fd, const union Address *address, socklen_t size) {
        const int on = 1;

        /* A predecessor's connections in TIME_WAIT do not keep the address. */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
                return -errno;
        if (address->any.sa_family == AF_INET6 &&
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
                return -errno;
        return bind(fd, &address->any, size) < 0 ? -errno : 0;
}

int listeners_add(struct Listeners *listeners, const char *text, struct Failure *failure) {
        _cleanup_(listener_clear) struct Listener listener = { .fd = -1 };
        union Address address;
        socklen_t size;
        int r;

        if (!parse(text, &address, &size))
                return failure_set(failure, EVENT_USAGE, EINVAL, NULL,
                        "Cannot listen on '%s': it is neither ADDR:PORT with a numeric address nor "
                        "unix:/PATH",
                        text);
        listener.admin = address.any.sa_family == AF_UNIX;
        listener.fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listener.fd < 0)
                r = -errno;
        else if (listener.admin)
                r = bind_unix(listener.fd, &address, size);
        else
                r = bind_tcp(listener.fd, &address, size);
        if (r >= 0 && listener.admin) {
                listener.socket_path = strdup(address.local.sun_path);
                if (!listener.socket_path)
                        return failure_out_of_memory(failure);
        }
        if (r >= 0 && listen(listener.fd, BACKLOG) < 0)
                r = -errno;
        if (r < 0)
                return failure_set(failure, EVENT_LISTEN_FAILED, -r, NULL,
                        "Cannot listen on %s: %m; choose another address, or end what uses it",
                        text);
        return adopt(listeners, &listener, failure);
}

/* All of them. */

char *listeners_describe(const struct Listeners *listeners) {
        char *text = NULL;

        for (size_t i = 0; i < listeners->n; i++) {
                _cleanup_free_ char *before = STEAL(text);

                if (asprintf(&text, "%s%s%s", before ? before : "", before ? ", " : "",
                            listeners->list[i].address) < 0)
                        return NULL;
        }
        return text;
}

bool listeners_exposed(const struct Listeners *listeners) {
        for (size_t i = 0; i < listeners->n; i++)
                if (listeners->list[i].exposed)
                        return true;
        return false;
}

bool listeners_survive(const struct Listeners *listeners) {
        for (size_t i = 0; i < listeners->n; i++)
                if (!listeners->list[i].from_systemd)
                        return false;
        return true;
}

void listeners_clear(struct Listeners *listeners) {
        for (size_t i = 0; i < listeners->n; i++)
                listener_clear(&listeners->list[i]);
        free(listeners->list);
        *listeners = (struct Listeners){ 0 };
}
