/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/peers.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MINUTE_MS 60000u

/* A connection: our end, and that of who is connected. */
struct Pair {
        int server, client;
        struct Peer *peer;
};

static struct sockaddr_in address_of(const char *text) {
        struct sockaddr_in address = { .sin_family = AF_INET };

        assert_int_equal(inet_pton(AF_INET, text, &address.sin_addr), 1);
        return address;
}

static struct Pair pair_new(struct Peers *peers) {
        struct sockaddr_in address = address_of("10.0.0.1");
        struct Pair pair;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        pair.server = fds[0];
        pair.client = fds[1];
        assert_int_equal(
                peers_add(peers, pair.server, (struct sockaddr *) &address, false, &pair.peer),
                PEER_ADMITTED);
        return pair;
}

static void pair_free(struct Peers *peers, struct Pair *pair) {
        peers_remove(peers, pair->peer);
        (void) close(pair->server);
        if (pair->client >= 0)
                (void) close(pair->client);
}

/* What came to the client; -1: nothing yet. */
static ssize_t receive(const struct Pair *pair, char *buffer, size_t size) {
        ssize_t n = recv(pair->client, buffer, size - 1, 0);

        buffer[n > 0 ? n : 0] = '\0';
        return n;
}

static void assert_open(const struct Pair *pair) {
        char buffer[16];

        assert_int_equal(receive(pair, buffer, sizeof buffer), -1);
}

static void assert_cut_off(const struct Pair *pair) {
        char buffer[16];

        assert_int_equal(receive(pair, buffer, sizeof buffer), 0);
}

static void enter_ago(struct Pair *pair, enum PeerPhase phase, uint64_t ms) {
        peer_enter(pair->peer, phase);
        pair->peer->since_ms -= ms;
}

static void test_request_that_does_not_arrive_in_a_minute_is_told_so_and_cut_off(void **state) {
        static const enum PeerPhase phases[] = { PEER_AWAITS_HEAD, PEER_SENDS_BODY };

        (void) state;
        for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
                struct Peers peers = { 0 };
                struct Pair pair = pair_new(&peers);
                char buffer[1024];

                enter_ago(&pair, phases[i], MINUTE_MS - 1000);
                peers_enforce_deadlines(&peers);
                assert_open(&pair);

                enter_ago(&pair, phases[i], MINUTE_MS);
                peers_enforce_deadlines(&peers);
                assert_true(receive(&pair, buffer, sizeof buffer) > 0);
                assert_memory_equal(buffer, "HTTP/1.1 408 ", 13);
                assert_non_null(strstr(buffer, "application/problem+json"));
                assert_non_null(strstr(buffer, "\"code\":\"request_timeout\""));
                assert_cut_off(&pair);
                pair_free(&peers, &pair);
        }
}

static void test_announced_size_of_a_raw_problem_is_its_size(void **state) {
        struct Peers peers = { 0 };
        struct Pair pair = pair_new(&peers);
        char buffer[1024];
        const char *length, *body;

        (void) state;
        enter_ago(&pair, PEER_SENDS_BODY, MINUTE_MS);
        peers_enforce_deadlines(&peers);
        assert_true(receive(&pair, buffer, sizeof buffer) > 0);
        length = strstr(buffer, "Content-Length: ");
        body = strstr(buffer, "\r\n\r\n");
        assert_non_null(length);
        assert_non_null(body);
        assert_int_equal(strtoul(length + strlen("Content-Length: "), NULL, 10), strlen(body + 4));
        pair_free(&peers, &pair);
}

static void test_work_takes_as_long_as_it_takes(void **state) {
        struct Peers peers = { 0 };
        struct Pair pair = pair_new(&peers);

        (void) state;
        enter_ago(&pair, PEER_IS_SERVED, 24 * 60 * MINUTE_MS);
        peers_enforce_deadlines(&peers);
        peers_cut_idle(&peers);
        assert_open(&pair);
        pair_free(&peers, &pair);
}

static void test_answer_that_is_not_taken_is_cut_off_and_nothing_is_mixed_into_it(void **state) {
        struct Peers peers = { 0 };
        struct Pair pair = pair_new(&peers);

        (void) state;
        enter_ago(&pair, PEER_IS_ANSWERED, 9 * MINUTE_MS);
        peers_enforce_deadlines(&peers);
        assert_open(&pair);
        enter_ago(&pair, PEER_IS_ANSWERED, 10 * MINUTE_MS);
        peers_enforce_deadlines(&peers);
        assert_cut_off(&pair);
        pair_free(&peers, &pair);
}

static void test_who_left_with_a_request_half_sent_is_noticed(void **state) {
        struct Peers peers = { 0 };
        struct Pair pair = pair_new(&peers);

        (void) state;
        assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
        enter_ago(&pair, PEER_IS_SERVED, 0); /* may have said all there was to say */
        peers_enforce_deadlines(&peers);
        assert_open(&pair);
        enter_ago(&pair, PEER_SENDS_BODY, 0);
        peers_enforce_deadlines(&peers);
        assert_cut_off(&pair);
        pair_free(&peers, &pair);
}

static void test_idle_ones_are_cut_off_at_once_and_new_ones_after_a_moment(void **state) {
        struct Peers peers = { 0 };
        struct Pair answered = pair_new(&peers), fresh = pair_new(&peers), old = pair_new(&peers),
                    busy = pair_new(&peers);

        (void) state;
        peer_enter(answered.peer, PEER_IS_ANSWERED);
        peer_enter(answered.peer, PEER_AWAITS_HEAD);
        enter_ago(&old, PEER_AWAITS_HEAD, 1000);
        peer_enter(busy.peer, PEER_SENDS_BODY);
        peers_cut_idle(&peers);
        assert_cut_off(&answered);
        assert_open(&fresh);
        assert_cut_off(&old);
        assert_open(&busy);

        pair_free(&peers, &old); /* from the middle, the end, the beginning */
        pair_free(&peers, &answered);
        pair_free(&peers, &busy);
        pair_free(&peers, &fresh);
        assert_int_equal(peers.n, 0);
        assert_null(peers.first);
}

static void test_descriptor_that_comes_again_is_of_a_new_connection(void **state) {
        struct sockaddr_in address = address_of("10.0.0.1");
        struct Peers peers = { 0 };
        struct Peer *peer;

        (void) state;
        for (int i = 0; i < 2; i++)
                assert_int_equal(peers_add(&peers, 7, (struct sockaddr *) &address, true, &peer),
                        PEER_ADMITTED);
        assert_int_equal(peers.n, 1);
        assert_ptr_equal(peers_find(&peers, 7), peer);
        assert_null(peers_find(&peers, 8));
        assert_true(peer->exchange.peer.admin_socket);
        peers_remove(&peers, peer);
}

static void test_one_address_has_32_connections_and_the_loopback_any_number(void **state) {
        static const struct {
                const char *address;
                bool limited;
        } rows[] = { { "10.0.0.1", true }, { "10.0.0.2", true }, { "127.0.0.1", false } };
        struct Peers peers = { 0 };
        int fd = 1000;

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct sockaddr_in address = address_of(rows[i].address);
                struct Peer *last = NULL;

                for (size_t n = 0; n < PEERS_MAX_PER_ADDRESS; n++)
                        assert_int_equal(
                                peers_add(&peers, fd++, (struct sockaddr *) &address, false, &last),
                                PEER_ADMITTED);
                assert_int_equal(last->exchange.peer.loopback, !rows[i].limited);
                assert_string_equal(last->address, rows[i].address);
                if (!rows[i].limited)
                        continue;
                assert_int_equal(
                        peers_add(&peers, fd++, (struct sockaddr *) &address, false, &last),
                        PEER_TOO_MANY_OF_ADDRESS);
                peers_remove(&peers, last);
                assert_int_equal(
                        peers_add(&peers, fd++, (struct sockaddr *) &address, false, &last),
                        PEER_ADMITTED);
        }
        while (peers.first)
                peers_remove(&peers, peers.first);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(
                        test_request_that_does_not_arrive_in_a_minute_is_told_so_and_cut_off),
                cmocka_unit_test(test_announced_size_of_a_raw_problem_is_its_size),
                cmocka_unit_test(test_work_takes_as_long_as_it_takes),
                cmocka_unit_test(
                        test_answer_that_is_not_taken_is_cut_off_and_nothing_is_mixed_into_it),
                cmocka_unit_test(test_who_left_with_a_request_half_sent_is_noticed),
                cmocka_unit_test(test_idle_ones_are_cut_off_at_once_and_new_ones_after_a_moment),
                cmocka_unit_test(test_descriptor_that_comes_again_is_of_a_new_connection),
                cmocka_unit_test(test_one_address_has_32_connections_and_the_loopback_any_number),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
