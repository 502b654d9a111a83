/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The connections that are open: how many in all and from one address, and how long each may take
 * with what it is doing. Everything here runs in the event loop. An entry is there for as long as
 * its descriptor is open, so what is done to the descriptor hits the right connection.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "daemon/exchange.h"

#define PEERS_MAX             128 /* further ones wait in the socket's queue */
#define PEERS_MAX_PER_ADDRESS 32  /* that is not the loopback */

#define PEER_ADDRESS_SIZE 48 /* of the text of an address */

enum PeerPhase {
        PEER_AWAITS_HEAD, /* since it came, or since its last answer was sent */
        PEER_SENDS_BODY,  /* since the head was whole */
        PEER_IS_SERVED,   /* since the request was whole */
        PEER_IS_ANSWERED, /* since the answer was known */
};

struct Peer {
        struct Peer *next, *previous;
        int fd; /* libmicrohttpd's: it closes it, after we took the peer off the list */
        char address[PEER_ADDRESS_SIZE];
        enum PeerPhase phase;
        uint64_t since_ms;
        bool was_answered; /* at least once */

        /* The server's. */
        struct MHD_Connection *connection;
        bool suspended; /* libmicrohttpd leaves it alone */
        bool in_work;   /* a worker has its exchange */
        struct Exchange exchange;
};

struct Peers {
        struct Peer *first;
        size_t n;
};

enum PeerAdmission {
        PEER_ADMITTED,
        PEER_TOO_MANY_OF_ADDRESS,
        PEER_OUT_OF_MEMORY,
};

/* `admin`: it came through an admin socket. */
enum PeerAdmission peers_add(struct Peers *peers, int fd, const struct sockaddr *address,
        bool admin, struct Peer **ret_peer);
void peers_remove(struct Peers *peers, struct Peer *peer);
struct Peer *peers_find(const struct Peers *peers, int fd); /* NULL when there is none */

void peer_enter(struct Peer *peer, enum PeerPhase phase);

/* Ends what takes too long: a request that does not arrive is answered 408 and cut off, an answer
 * that is not taken is cut off, and so is whoever left. (Who does nothing at all is dropped by
 * libmicrohttpd.) To be called once in a while. */
void peers_enforce_deadlines(struct Peers *peers);

/* While no more requests are to be served: cuts off who has none under way. Who only just came has
 * a moment left for its first. */
void peers_cut_idle(struct Peers *peers);
