/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <sys/socket.h>

#include "daemon/http.h"
#include "daemon/peers.h"
#include "daemon/refuse.h"
#include "daemon/rejections.h"
#include "lib/base/event.h"

#define TICK_USEC         1000000u
#define ACCEPT_AT_ONCE    16
#define STATE_MS          1000  /* how long the state that /health tells stays true */
#define STATE_DEADLINE_MS 10000 /* for those who wait for a new one */

struct Acceptor {
        struct Server *server;
        const struct Listener *listener;
        sd_event_source *source;
};

struct Server {
        struct Daemon *daemon;
        struct MHD_Daemon *http;
        struct Jobs *jobs;
        struct Refusals *refusals;
        struct Rejections rejections;
        struct Peers peers;
        uint64_t idle_since_ms;

        struct Acceptor *acceptors;
        size_t n_acceptors;
        sd_event_source *readable; /* libmicrohttpd's epoll descriptor */
        sd_event_source *again;    /* libmicrohttpd has more to do */
        sd_event_source *tick;     /* while connections are open */
        sd_event_source *relief;   /* while jobs wait */
        sd_event_source *done;     /* jobs that are done */

        /* The answer of LANE_STATE: one for all who ask within STATE_MS. One of them has it made,
         * the others wait for it. */
        struct MHD_Response *state;
        unsigned state_status;
        uint64_t state_since_ms;
        bool state_in_work;

        bool draining;
        void (*drained)(void *userdata);
        void *drained_userdata;
};

/* Answering. All of this is called by libmicrohttpd, from MHD_run(). */

static enum MHD_Result send_answer(
        struct Peer *peer, unsigned status, struct MHD_Response *response) {
        peer_enter(peer, PEER_IS_ANSWERED);
        return MHD_queue_response(peer->connection, status, response);
}

static enum MHD_Result send_own_answer(struct Server *server, struct Peer *peer) {
        struct Exchange *exchange = &peer->exchange;

        if (!exchange->response.rendered)
                exchange_render(exchange);
        if (!exchange->response.rendered)
                return MHD_NO; /* not even memory to say so: the connection ends */
        if (server->draining)
                response_announce_close(exchange->response.rendered);
        return send_answer(peer, exchange->response.status, exchange->response.rendered);
}

static void suspend(struct Peer *peer) {
        MHD_suspend_connection(peer->connection);
        peer->suspended = true;
}

static void resume(struct Peer *peer) {
        peer->suspended = false;
        MHD_resume_connection(peer->connection);
}

static void relieve_later(struct Server *server) {
        (void) sd_event_source_set_time_relative(server->relief, JOBS_RELIEF_USEC);
        (void) sd_event_source_set_enabled(server->relief, SD_EVENT_ONESHOT);
}

static int on_relief(sd_event_source *source, uint64_t usec, void *userdata) {
        struct Server *server = userdata;

        (void) source, (void) usec;
        if (jobs_relieve(server->jobs))
                relieve_later(server);
        return 0;
}

/* True: the job has it, and the answer comes later. */
static bool hand_over(struct Server *server, struct Exchange *exchange) {
        int r = jobs_submit(server->jobs, exchange->route->lane, &exchange->job);

        if (r > 0 && sd_event_source_get_enabled(server->relief, NULL) == 0)
                relieve_later(server);
        if (r < 0)
                (void) response_problem(&exchange->response, HTTP_UNAVAILABLE, "overloaded",
                        "Too many requests like this one are waiting; try again later");
        return r >= 0;
}

/* /health: at full speed, out of what was found out at most a moment ago. */
static enum MHD_Result answer_state(struct Server *server, struct Peer *peer) {
        if (server->draining) {
                (void) response_problem(&peer->exchange.response, HTTP_UNAVAILABLE, "stopping",
                        "The daemon is stopping");
                response_render(&peer->exchange.response); /* and no failure of ours */
                return send_own_answer(server, peer);
        }
        if (server->state && monotonic_ms() - server->state_since_ms < STATE_MS)
                return send_answer(peer, server->state_status, server->state);

        if (!server->state_in_work) {
                if (!hand_over(server, &peer->exchange))
                        return send_own_answer(server, peer);
                server->state_in_work = true;
                peer->in_work = true;
        }
        suspend(peer);
        return MHD_YES;
}

/* The request is whole; or it was, and a worker has answered it meanwhile. */
static enum MHD_Result answer(struct Server *server, struct Peer *peer) {
        struct Exchange *exchange = &peer->exchange;

        if (peer->phase == PEER_SENDS_BODY) {
                peer_enter(peer, PEER_IS_SERVED);
                exchange_judge_body(exchange);
        }
        if (exchange->response.status != 0)
                return send_own_answer(server, peer);
        if (exchange->route->lane == LANE_STATE)
                return answer_state(server, peer);
        if (!hand_over(server, exchange))
                return send_own_answer(server, peer);
        peer->in_work = true;
        suspend(peer);
        return MHD_YES;
}

static enum MHD_Result take_head(struct Server *server, struct Peer *peer, const char *target,
        const char *method, const char *version) {
        struct Exchange *exchange = &peer->exchange;
        struct AccessHead head;
        enum RequestFault fault;

        fault = request_begin(&exchange->request, peer->connection, target, method, version, &head);
        exchange->job.run = exchange_run;
        exchange_judge_head(exchange, server->daemon->access, fault, &head);
        rejections_note(&server->rejections, &exchange->response, exchange->route, peer->address);
        peer_enter(peer, PEER_SENDS_BODY);
        if (!exchange_answers_early(exchange, fault))
                return MHD_YES;
        /* libmicrohttpd closes the connection after an answer that comes before the body. */
        return send_own_answer(server, peer);
}

static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection,
        const char *target, const char *method, const char *version, const char *data, size_t *size,
        void **context) {
        const union MHD_ConnectionInfo *info;
        struct Server *server = userdata;
        struct Peer *peer = *context;

        if (!peer) {
                info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
                peer = *context = info->socket_context;
                return take_head(server, peer, target, method, version);
        }
        if (*size == 0)
                return answer(server, peer);
        if (request_add_body(&peer->exchange.request, data, *size) == REQUEST_BODY_ENDLESS)
                return MHD_NO;
        *size = 0;
        return MHD_YES;
}

static void on_request_end(void *userdata, struct MHD_Connection *connection, void **context,
        enum MHD_RequestTerminationCode how) {
        struct Peer *peer = *context;

        (void) userdata, (void) connection, (void) how;
        if (!peer)
                return;
        exchange_clear(&peer->exchange);
        peer_enter(peer, PEER_AWAITS_HEAD);
        *context = NULL;
}

/* Connections. */

static void accept_more(struct Server *server, bool more) {
        for (size_t i = 0; i < server->n_acceptors; i++)
                (void) sd_event_source_set_enabled(
                        server->acceptors[i].source, more ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void on_connection(void *userdata, struct MHD_Connection *connection, void **context,
        enum MHD_ConnectionNotificationCode what) {
        struct Server *server = userdata;
        const union MHD_ConnectionInfo *info;
        struct Peer *peer;

        if (what == MHD_CONNECTION_NOTIFY_STARTED) {
                info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
                peer = peers_find(&server->peers, info->connect_fd);
                peer->connection = connection;
                *context = peer;
                return;
        }
        if (server->peers.n == PEERS_MAX && !server->draining)
                accept_more(server, true);
        peers_remove(&server->peers, *context);
        server->idle_since_ms = monotonic_ms();
}

static void admit(struct Server *server, const struct Listener *listener, int fd,
        const struct sockaddr *address, socklen_t size) {
        struct Peer *peer;

        switch (peers_add(&server->peers, fd, address, listener->admin, &peer)) {
        case PEER_ADMITTED:
                break;
        case PEER_TOO_MANY_OF_ADDRESS:
                refuse_too_many(server->refusals, fd);
                return;
        case PEER_OUT_OF_MEMORY:
                (void) close(fd);
                return;
        }
        (void) sd_event_source_set_enabled(server->tick, SD_EVENT_ON);
        /* It tells on_connection(), now (0.9) or from MHD_run() (1.0). When it fails it closes the
         * descriptor, and may have told of both beginning and end. */
        if (MHD_add_connection(server->http, fd, address, size) == MHD_YES)
                return;
        peer = peers_find(&server->peers, fd);
        if (peer)
                peers_remove(&server->peers, peer);
}

/* Lets libmicrohttpd do what it can without waiting. */
static void run(struct Server *server) {
        MHD_UNSIGNED_LONG_LONG timeout;
        bool again;

        (void) MHD_run(server->http);
        again = MHD_get_timeout(server->http, &timeout) == MHD_YES && timeout == 0;
        (void) sd_event_source_set_enabled(server->again, again ? SD_EVENT_ON : SD_EVENT_OFF);
        if (server->draining && server->peers.n == 0 && server->drained) {
                void (*drained)(void *userdata) = STEAL(server->drained);

                drained(server->drained_userdata);
        }
}

static int on_acceptable(sd_event_source *source, int listening, uint32_t events, void *userdata) {
        struct Acceptor *acceptor = userdata;
        struct Server *server = acceptor->server;

        (void) source, (void) events;
        for (int i = 0; i < ACCEPT_AT_ONCE && server->peers.n < PEERS_MAX; i++) {
                struct sockaddr_storage address = { 0 };
                socklen_t size = sizeof address;
                int fd = accept4(listening, (struct sockaddr *) &address, &size,
                        SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd >= 0) {
                        admit(server, acceptor->listener, fd, (struct sockaddr *) &address, size);
                        continue;
                }
                if (errno == ECONNABORTED || errno == EINTR)
                        continue;
                /* No descriptor or memory left: the next tick tries again. */
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                        event_debug("Cannot accept a connection now: %m");
                        accept_more(server, false);
                        (void) sd_event_source_set_enabled(server->tick, SD_EVENT_ON);
                }
                break;
        }
        if (server->peers.n == PEERS_MAX)
                accept_more(server, false);
        run(server);
        return 0;
}

/* The loop. */

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) source, (void) fd, (void) events;
        run(userdata);
        return 0;
}

static int on_again(sd_event_source *source, void *userdata) {
        (void) source;
        run(userdata);
        return 0;
}

/* Takes over the state that was made, and wakes all who wait for it. */
static void take_state(struct Server *server, struct Peer *maker) {
        struct Response *response = &maker->exchange.response;

        server->state_in_work = false;
        if (response->rendered) {
                if (server->state)
                        MHD_destroy_response(server->state);
                server->state = STEAL(response->rendered);
                server->state_status = response->status;
                server->state_since_ms = monotonic_ms();
                response_clear(response);
        }
        for (struct Peer *peer = server->peers.first; peer; peer = peer->next)
                if (peer->suspended && !peer->in_work)
                        resume(peer);
}

static struct Peer *peer_of(struct Job *job) {
        return (struct Peer *) ((char *) job - offsetof(struct Peer, exchange.job));
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct Server *server = userdata;
        struct Job *job, *next;

        (void) source, (void) fd, (void) events;
        for (job = jobs_take_done(server->jobs); job; job = next) {
                struct Peer *peer = peer_of(job);

                next = job->next;
                peer->in_work = false;
                if (peer->exchange.route->lane == LANE_STATE)
                        take_state(server, peer);
                else
                        resume(peer);
        }
        run(server);
        return 0;
}

/* Storage that hangs holds up the worker, not those who ask for the state. */
static void release_state_waiters(struct Server *server) {
        uint64_t now = monotonic_ms();

        for (struct Peer *peer = server->peers.first; peer; peer = peer->next) {
                if (!peer->suspended || peer->in_work || now - peer->since_ms < STATE_DEADLINE_MS)
                        continue;
                (void) response_problem(&peer->exchange.response, HTTP_UNAVAILABLE, "state_unknown",
                        "The checks have not come back for %d s; the storage may hang",
                        STATE_DEADLINE_MS / 1000);
                resume(peer);
        }
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        struct Server *server = userdata;

        (void) usec;
        peers_enforce_deadlines(&server->peers);
        release_state_waiters(server);
        if (server->draining)
                peers_cut_idle(&server->peers);
        else if (server->peers.n < PEERS_MAX)
                accept_more(server, true); /* where descriptors had run out */
        run(server);                       /* its own timeouts */

        (void) sd_event_source_set_time_relative(source, TICK_USEC);
        (void) sd_event_source_set_enabled(
                source, server->peers.n > 0 ? SD_EVENT_ON : SD_EVENT_OFF);
        return 0;
}

/* Setting up. */

static int add_acceptors(
        struct Server *server, sd_event *event, const struct Listeners *listeners) {
        server->acceptors = calloc(listeners->n, sizeof *server->acceptors);
        if (!server->acceptors)
                return -ENOMEM;
        for (size_t i = 0; i < listeners->n; i++) {
                struct Acceptor *acceptor = &server->acceptors[i];
                int r;

                acceptor->server = server;
                acceptor->listener = &listeners->list[i];
                server->n_acceptors++;
                r = sd_event_add_io(event, &acceptor->source, acceptor->listener->fd, EPOLLIN,
                        on_acceptable, acceptor);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_sources(struct Server *server, sd_event *event) {
        const union MHD_DaemonInfo *info =
                MHD_get_daemon_info(server->http, MHD_DAEMON_INFO_EPOLL_FD);
        int r;

        if (!info)
                return -ENOTSUP;
        r = sd_event_add_io(event, &server->readable, info->epoll_fd, EPOLLIN, on_readable, server);
        if (r >= 0)
                r = sd_event_add_defer(event, &server->again, on_again, server);
        if (r >= 0)
                r = sd_event_add_time_relative(
                        event, &server->tick, CLOCK_MONOTONIC, TICK_USEC, 0, on_tick, server);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &server->relief, CLOCK_MONOTONIC, 0,
                        JOBS_RELIEF_USEC / 10, on_relief, server);
        if (r >= 0)
                r = sd_event_add_io(
                        event, &server->done, jobs_fd(server->jobs), EPOLLIN, on_done, server);
        return r;
}

int server_new(sd_event *event, struct Daemon *daemon, const struct Listeners *listeners,
        struct Server **ret_server, struct Failure *failure) {
        static const struct HttpCallbacks callbacks = {
                .request = on_request,
                .request_end = on_request_end,
                .connection = on_connection,
        };
        _cleanup_server_ struct Server *server = calloc(1, sizeof *server);
        int r;

        if (!server)
                return failure_out_of_memory(failure);
        server->daemon = daemon;
        server->idle_since_ms = monotonic_ms();
        server->http = http_start(&callbacks, server);
        if (!server->http)
                return failure_set(failure, EVENT_LISTEN_FAILED, errno, NULL,
                        "Cannot start serving HTTP: %m; the limits of memory and descriptors may "
                        "be too low");
        r = jobs_new(daemon, &server->jobs);
        if (r >= 0)
                r = refusals_new(event, &server->refusals);
        if (r >= 0)
                r = add_acceptors(server, event, listeners);
        if (r >= 0)
                r = add_sources(server, event);
        if (r < 0)
                return failure_set(
                        failure, EVENT_LISTEN_FAILED, -r, NULL, "Cannot start serving: %m");
        *ret_server = STEAL(server);
        return 0;
}

struct Server *server_free(struct Server *server) {
        if (!server)
                return NULL;
        for (size_t i = 0; i < server->n_acceptors; i++)
                (void) sd_event_source_disable_unref(server->acceptors[i].source);
        (void) sd_event_source_disable_unref(server->readable);
        (void) sd_event_source_disable_unref(server->again);
        (void) sd_event_source_disable_unref(server->tick);
        (void) sd_event_source_disable_unref(server->relief);
        (void) sd_event_source_disable_unref(server->done);
        (void) jobs_free(server->jobs);
        if (server->http)
                MHD_stop_daemon(server->http);
        if (server->state)
                MHD_destroy_response(server->state);
        (void) refusals_free(server->refusals);
        free(server->acceptors);
        free(server);
        return NULL;
}

void server_drain(struct Server *server, void (*done)(void *userdata), void *userdata) {
        server->draining = true;
        server->drained = done;
        server->drained_userdata = userdata;
        accept_more(server, false);
        run(server); /* what came before is still a request */
        peers_enforce_deadlines(&server->peers);
        peers_cut_idle(&server->peers);
        run(server);
}

bool server_is_idle(const struct Server *server, uint64_t *ret_since_ms) {
        *ret_since_ms = server->idle_since_ms;
        return server->peers.n == 0;
}

bool server_works_long(const struct Server *server) {
        return jobs_are_in(server->jobs, LANE_ADMIN);
}
