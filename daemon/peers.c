/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/peers.h"

#include <arpa/inet.h>
#include <string.h>

#include "daemon/raw-problem.h"
#include "lib/base/stamp.h"

#define HEAD_MS   60000 /* 30 s of them may pass before the first byte */
#define BODY_MS   60000
#define ANSWER_MS 600000 /* however slowly it is read */
#define GRACE_MS  1000

/* Addresses. */

static void address_text(const struct sockaddr *address, char ret_text[PEER_ADDRESS_SIZE]) {
        const char *text = NULL;

        if (address->sa_family == AF_INET)
                text = inet_ntop(AF_INET, &((const struct sockaddr_in *) address)->sin_addr,
                        ret_text, PEER_ADDRESS_SIZE);
        else if (address->sa_family == AF_INET6)
                text = inet_ntop(AF_INET6, &((const struct sockaddr_in6 *) address)->sin6_addr,
                        ret_text, PEER_ADDRESS_SIZE);
        if (!text)
                strcpy(ret_text, "a unix socket");
}

static size_t count_of_address(const struct Peers *peers, const char *address) {
        size_t n = 0;

        for (const struct Peer *peer = peers->first; peer; peer = peer->next)
                n += strcmp(peer->address, address) == 0;
        return n;
}

/* The list. */

enum PeerAdmission peers_add(struct Peers *peers, int fd, const struct sockaddr *address,
        bool admin, struct Peer **ret_peer) {
        bool loopback = access_address_is_loopback(address);
        char text[PEER_ADDRESS_SIZE];
        struct Peer *peer;

        /* libmicrohttpd closed it without a word when memory ran out for it. */
        peer = peers_find(peers, fd);
        if (peer)
                peers_remove(peers, peer);

        address_text(address, text);
        if (!loopback && count_of_address(peers, text) >= PEERS_MAX_PER_ADDRESS)
                return PEER_TOO_MANY_OF_ADDRESS;
        peer = calloc(1, sizeof *peer);
        if (!peer)
                return PEER_OUT_OF_MEMORY;

        peer->fd = fd;
        memcpy(peer->address, text, sizeof text);
        peer->exchange.peer = (struct AccessPeer){ .admin_socket = admin, .loopback = loopback };
        peer_enter(peer, PEER_AWAITS_HEAD);

        peer->next = peers->first;
        if (peer->next)
                peer->next->previous = peer;
        peers->first = peer;
        peers->n++;
        *ret_peer = peer;
        return PEER_ADMITTED;
}

void peers_remove(struct Peers *peers, struct Peer *peer) {
        if (peer->previous)
                peer->previous->next = peer->next;
        else
                peers->first = peer->next;
        if (peer->next)
                peer->next->previous = peer->previous;
        peers->n--;
        exchange_clear(&peer->exchange);
        free(peer);
}

struct Peer *peers_find(const struct Peers *peers, int fd) {
        struct Peer *peer = peers->first;

        while (peer && peer->fd != fd)
                peer = peer->next;
        return peer;
}

void peer_enter(struct Peer *peer, enum PeerPhase phase) {
        if (phase == PEER_AWAITS_HEAD && peer->phase == PEER_IS_ANSWERED)
                peer->was_answered = true;
        peer->phase = phase;
        peer->since_ms = monotonic_ms();
}

/* Deadlines. */

/* libmicrohttpd sees the end of the connection, tells us, and closes the descriptor. */
static void cut_off(const struct Peer *peer) {
        (void) shutdown(peer->fd, SHUT_RDWR);
}

/* It ended its side with a request half sent. libmicrohttpd (epoll, edge-triggered) does not notice
 * when the end came together with the last bytes. */
static bool has_left(const struct Peer *peer) {
        char byte;

        return peer->phase <= PEER_SENDS_BODY &&
                recv(peer->fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void peers_enforce_deadlines(struct Peers *peers) {
        static const uint64_t limits[] = {
                [PEER_AWAITS_HEAD] = HEAD_MS,
                [PEER_SENDS_BODY] = BODY_MS,
                [PEER_IS_SERVED] = UINT64_MAX,
                [PEER_IS_ANSWERED] = ANSWER_MS,
        };
        uint64_t now = monotonic_ms();

        for (const struct Peer *peer = peers->first; peer; peer = peer->next) {
                if (has_left(peer)) {
                        cut_off(peer);
                        continue;
                }
                if (now - peer->since_ms < limits[peer->phase])
                        continue;
                /* Nothing of ours is under way in the other phases that could be mixed up. */
                if (peer->phase != PEER_IS_ANSWERED)
                        (void) raw_problem_send(peer->fd, HTTP_REQUEST_TIMEOUT, "Request Timeout",
                                "request_timeout", "The request took too long to arrive");
                cut_off(peer);
        }
}

void peers_cut_idle(struct Peers *peers) {
        uint64_t now = monotonic_ms();

        for (const struct Peer *peer = peers->first; peer; peer = peer->next)
                if (peer->phase == PEER_AWAITS_HEAD &&
                        (peer->was_answered || now - peer->since_ms >= GRACE_MS))
                        cut_off(peer);
}
