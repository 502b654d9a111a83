/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/access.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/unit/scratch.h"

static char host_name[] = "dalidou.example.org";
static char admin_token[] = "admin-secret";
static char api_token[] = "api-secret";
static char *allowed[] = { (char[]){ "notes.lan" }, (char[]){ "192.168.1.10" }, NULL };

static const struct AccessPeer admin_socket = { .admin_socket = true, .loopback = true };
static const struct AccessPeer loopback = { .loopback = true };
static const struct AccessPeer remote = { 0 };

static struct AccessRules rules_with(char *admin, char *api) {
        return (struct AccessRules){ .allowed_hosts = allowed,
                .host_name = host_name,
                .admin_token = admin,
                .api_token = api };
}

static struct AccessHead head_with(const char *authorization) {
        return (struct AccessHead){ .http_1_1 = true,
                .host = "localhost:8100",
                .n_hosts = 1,
                .authorization = authorization,
                .n_authorizations = authorization ? 1 : 0 };
}

static enum AccessVerdict judge(char *admin, char *api, const struct AccessPeer *peer,
        const char *authorization, enum AccessNeed need) {
        struct AccessRules rules = rules_with(admin, api);
        struct AccessHead head = head_with(authorization);

        return access_judge(&rules, peer, &head, need);
}

/* Host and Origin. */

static void test_hosts_of_loopback_machine_and_configuration_are_ours(void **state) {
        static const char *const ours[] = { "localhost", "localhost:8100", "LOCALHOST:1",
                "localhost.", "localhost.:8100", "a.localhost", "127.0.0.1", "127.0.0.1:8100",
                "127.255.255.254", "[::1]", "[::1]:8100", "[0:0:0:0:0:0:0:1]",
                "[::ffff:127.0.0.1]:80", "dalidou", "Dalidou:8100", "dalidou.example.org",
                "dalidou.example.org.:8100", "notes.lan", "NOTES.lan:8100", "192.168.1.10:8100",
                "localhost:" };
        struct AccessRules rules = rules_with(NULL, NULL);

        (void) state;
        for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
                if (!access_host_is_ours(&rules, ours[i]))
                        fail_msg("%s is refused", ours[i]);
}

static void test_other_hosts_are_foreign(void **state) {
        static const char *const foreign[] = { "", ":8100", "evil.example", "evil.example:8100",
                "localhost.evil.example", "localhostx", ".localhost", "xlocalhost", "0.0.0.0",
                "0.0.0.0:8100", "128.0.0.1", "127.1", "127.0.0.1.evil.example", "2130706433",
                "[::]", "[::2]", "[::ffff:10.0.0.1]", "::1", "[::1", "[::1]x", "[::1]:80x",
                "192.168.1.11", "dalidou.evil.example", "dalido", "dalidou.example", "notes",
                "notes.lan.evil", "localhost:123456", "localhost:8100:1", "localhost:-1",
                "user@localhost", "localhost@evil.example", "localhost/evil", "local host", "." };
        struct AccessRules rules = rules_with(NULL, NULL);
        char longest[2000];

        (void) state;
        for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
                if (access_host_is_ours(&rules, foreign[i]))
                        fail_msg("%s is accepted", foreign[i]);
        memset(longest, 'a', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        assert_false(access_host_is_ours(&rules, longest));
}

static void test_machine_without_name_and_configuration_accepts_loopback_only(void **state) {
        struct AccessRules rules = { 0 };

        (void) state;
        assert_true(access_host_is_ours(&rules, "localhost"));
        assert_false(access_host_is_ours(&rules, "dalidou"));
        assert_false(access_host_is_ours(&rules, ""));
}

static void test_exactly_one_host_is_needed_since_http_1_1(void **state) {
        struct AccessRules rules = rules_with(NULL, NULL);
        struct AccessHead head = head_with(NULL);

        (void) state;
        head.n_hosts = 2;
        assert_int_equal(
                access_judge(&rules, &loopback, &head, ACCESS_ALWAYS), ACCESS_HOST_AMBIGUOUS);
        head.host = NULL;
        head.n_hosts = 0;
        assert_int_equal(
                access_judge(&rules, &loopback, &head, ACCESS_ALWAYS), ACCESS_HOST_AMBIGUOUS);
        assert_int_equal(
                access_judge(&rules, &admin_socket, &head, ACCESS_ADMIN), ACCESS_HOST_AMBIGUOUS);
        head.http_1_1 = false;
        assert_int_equal(access_judge(&rules, &loopback, &head, ACCESS_ALWAYS), ACCESS_GRANTED);
}

static void test_foreign_host_is_refused_even_for_health_and_with_a_token(void **state) {
        struct AccessRules rules = rules_with(admin_token, api_token);
        struct AccessHead head = head_with("Bearer admin-secret");

        (void) state;
        head.host = "evil.example";
        assert_int_equal(
                access_judge(&rules, &loopback, &head, ACCESS_ALWAYS), ACCESS_HOST_FOREIGN);
        assert_int_equal(access_judge(&rules, &loopback, &head, ACCESS_ADMIN), ACCESS_HOST_FOREIGN);
        assert_int_equal(access_judge(&rules, &admin_socket, &head, ACCESS_ADMIN), ACCESS_GRANTED);
}

static void test_origin_must_be_ours(void **state) {
        static const struct {
                const char *origin;
                enum AccessVerdict verdict;
        } rows[] = {
                { NULL, ACCESS_GRANTED },
                { "http://localhost:3000", ACCESS_GRANTED },
                { "https://dalidou", ACCESS_GRANTED },
                { "http://[::1]:8100", ACCESS_GRANTED },
                { "null", ACCESS_ORIGIN_FOREIGN },
                { "", ACCESS_ORIGIN_FOREIGN },
                { "http://evil.example", ACCESS_ORIGIN_FOREIGN },
                { "https://localhost.evil.example", ACCESS_ORIGIN_FOREIGN },
                { "chrome-extension://localhost", ACCESS_ORIGIN_FOREIGN },
                { "file://", ACCESS_ORIGIN_FOREIGN },
                { "localhost", ACCESS_ORIGIN_FOREIGN },
        };
        struct AccessRules rules = rules_with(NULL, NULL);

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct AccessHead head = head_with(NULL);

                head.origin = rows[i].origin;
                head.n_origins = rows[i].origin ? 1 : 0;
                assert_int_equal(
                        access_judge(&rules, &loopback, &head, ACCESS_OPEN), rows[i].verdict);
        }
        struct AccessHead twice = head_with(NULL);
        twice.origin = "http://localhost";
        twice.n_origins = 2;
        assert_int_equal(
                access_judge(&rules, &loopback, &twice, ACCESS_OPEN), ACCESS_ORIGIN_FOREIGN);
}

/* Tokens. The table is the rule: who asks, with what, where which tokens are configured. */

static void test_access_follows_peer_and_tokens(void **state) {
        static const char api[] = "Bearer api-secret", admin[] = "bearer  admin-secret",
                          wrong[] = "Bearer wrong-secret";
        static const struct {
                char *admin_token, *api_token;
                const struct AccessPeer *peer;
                const char *authorization;
                enum AccessVerdict health, open, administration;
        } rows[] = {
                { NULL, NULL, &loopback, NULL, ACCESS_GRANTED, ACCESS_GRANTED, ACCESS_GRANTED },
                { NULL, NULL, &loopback, wrong, ACCESS_GRANTED, ACCESS_GRANTED, ACCESS_GRANTED },
                { NULL, NULL, &remote, NULL, ACCESS_GRANTED, ACCESS_GRANTED, ACCESS_LOOPBACK_ONLY },
                { NULL, NULL, &admin_socket, NULL, ACCESS_GRANTED, ACCESS_GRANTED, ACCESS_GRANTED },

                { admin_token, NULL, &loopback, NULL, ACCESS_GRANTED, ACCESS_GRANTED,
                        ACCESS_TOKEN_MISSING },
                { admin_token, NULL, &loopback, wrong, ACCESS_GRANTED, ACCESS_GRANTED,
                        ACCESS_TOKEN_WRONG },
                { admin_token, NULL, &loopback, admin, ACCESS_GRANTED, ACCESS_GRANTED,
                        ACCESS_GRANTED },
                { admin_token, NULL, &remote, NULL, ACCESS_GRANTED, ACCESS_GRANTED,
                        ACCESS_TOKEN_MISSING },
                { admin_token, NULL, &remote, admin, ACCESS_GRANTED, ACCESS_GRANTED,
                        ACCESS_GRANTED },
                { admin_token, NULL, &admin_socket, NULL, ACCESS_GRANTED, ACCESS_GRANTED,
                        ACCESS_GRANTED },

                { NULL, api_token, &loopback, NULL, ACCESS_GRANTED, ACCESS_TOKEN_MISSING,
                        ACCESS_TOKEN_MISSING },
                { NULL, api_token, &loopback, wrong, ACCESS_GRANTED, ACCESS_TOKEN_WRONG,
                        ACCESS_TOKEN_WRONG },
                { NULL, api_token, &loopback, api, ACCESS_GRANTED, ACCESS_GRANTED, ACCESS_GRANTED },
                { NULL, api_token, &remote, api, ACCESS_GRANTED, ACCESS_GRANTED,
                        ACCESS_LOOPBACK_ONLY },
                { NULL, api_token, &admin_socket, NULL, ACCESS_GRANTED, ACCESS_GRANTED,
                        ACCESS_GRANTED },

                { admin_token, api_token, &loopback, NULL, ACCESS_GRANTED, ACCESS_TOKEN_MISSING,
                        ACCESS_TOKEN_MISSING },
                { admin_token, api_token, &remote, api, ACCESS_GRANTED, ACCESS_GRANTED,
                        ACCESS_ADMIN_TOKEN_ONLY },
                { admin_token, api_token, &remote, admin, ACCESS_GRANTED, ACCESS_GRANTED,
                        ACCESS_GRANTED },
                { admin_token, api_token, &remote, wrong, ACCESS_GRANTED, ACCESS_TOKEN_WRONG,
                        ACCESS_TOKEN_WRONG },
        };

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                const enum AccessVerdict expected[] = { [ACCESS_ALWAYS] = rows[i].health,
                        [ACCESS_OPEN] = rows[i].open,
                        [ACCESS_ADMIN] = rows[i].administration };

                for (enum AccessNeed need = ACCESS_ALWAYS; need <= ACCESS_ADMIN; need++) {
                        enum AccessVerdict verdict = judge(rows[i].admin_token, rows[i].api_token,
                                rows[i].peer, rows[i].authorization, need);

                        if (verdict != expected[need])
                                fail_msg("row %zu, need %d: %d, not %d", i, (int) need,
                                        (int) verdict, (int) expected[need]);
                }
        }
}

static void test_only_a_whole_bearer_token_counts(void **state) {
        static const char *const wrong[] = { "admin-secret", "Bearer", "Bearer ",
                "Bearer admin-secre", "Bearer admin-secretx", "Bearer Admin-secret",
                "Basic admin-secret", "Bearer admin-secret, Bearer x" };

        (void) state;
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
                assert_int_not_equal(judge(admin_token, NULL, &loopback, wrong[i], ACCESS_ADMIN),
                        ACCESS_GRANTED);

        struct AccessRules rules = rules_with(admin_token, NULL);
        struct AccessHead twice = head_with("Bearer admin-secret");
        twice.n_authorizations = 2;
        assert_int_equal(
                access_judge(&rules, &loopback, &twice, ACCESS_ADMIN), ACCESS_TOKEN_MISSING);
}

static void test_proxied_request_is_not_from_the_loopback(void **state) {
        static const char *const names[] = { "Forwarded", "X-Forwarded-For", "x-forwarded-host",
                "X-FORWARDED-PROTO", "X-Forwarded-Anything", "X-Real-IP", "via" };
        struct AccessRules rules = rules_with(NULL, NULL);

        (void) state;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                struct AccessHead head = head_with(NULL);

                access_head_add(&head, names[i], "127.0.0.1");
                assert_int_equal(
                        access_judge(&rules, &loopback, &head, ACCESS_ADMIN), ACCESS_LOOPBACK_ONLY);
                assert_int_equal(
                        access_judge(&rules, &loopback, &head, ACCESS_OPEN), ACCESS_GRANTED);
        }
        struct AccessHead head = head_with(NULL);
        access_head_add(&head, "X-Forwarded", "1");
        access_head_add(&head, "Accept", "1");
        assert_int_equal(access_judge(&rules, &loopback, &head, ACCESS_ADMIN), ACCESS_GRANTED);
}

static void test_loopback_addresses_are_told_from_others(void **state) {
        static const struct {
                int family;
                const char *text;
                bool loopback;
        } rows[] = {
                { AF_INET, "127.0.0.1", true },
                { AF_INET, "127.9.9.9", true },
                { AF_INET, "10.0.0.1", false },
                { AF_INET, "0.0.0.0", false },
                { AF_INET6, "::1", true },
                { AF_INET6, "::ffff:127.0.0.1", true },
                { AF_INET6, "::ffff:10.0.0.1", false },
                { AF_INET6, "::", false },
                { AF_INET6, "fe80::1", false },
        };
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } address;

        (void) state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                memset(&address, 0, sizeof address);
                address.any.sa_family = (sa_family_t) rows[i].family;
                assert_int_equal(
                        inet_pton(rows[i].family, rows[i].text,
                                rows[i].family == AF_INET ? (void *) &address.v4.sin_addr
                                                          : (void *) &address.v6.sin6_addr),
                        1);
                assert_int_equal(access_address_is_loopback(&address.any), rows[i].loopback);
        }
        address.any.sa_family = AF_UNIX;
        assert_true(access_address_is_loopback(&address.any));
}

/* Credentials. */

static void write_credential(const char *name, const char *text) {
        MUST(setenv("CREDENTIALS_DIRECTORY", scratch_directory, 1) == 0);
        (void) unlink(scratch(name));
        MUST(write_new_file_at(AT_FDCWD, scratch(name), text, strlen(text)) == 0);
}

static void test_tokens_come_from_the_credentials_directory(void **state) {
        _cleanup_access_rules_ struct AccessRules rules = { 0 };
        struct Config config = { .allowed_hosts = allowed };

        (void) state;
        write_credential("admin-token", "first-secret\n");
        assert_int_equal(access_rules_load(&config, &rules, NULL), 0);
        assert_string_equal(rules.admin_token, "first-secret");
        assert_null(rules.api_token);
        assert_ptr_equal(rules.allowed_hosts, allowed);

        access_rules_clear(&rules);
        MUST(unsetenv("CREDENTIALS_DIRECTORY") == 0);
        assert_int_equal(access_rules_load(&config, &rules, NULL), 0);
        assert_null(rules.admin_token);
}

static void test_token_that_no_client_can_send_is_refused_at_start(void **state) {
        static const char *const bad[] = { "", "\n", "two words", "one\ntwo", "token\n\n", "t\r\n",
                "t\x01", "\xc3\xa9" };
        struct Config config = { 0 };

        (void) state;
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                _cleanup_access_rules_ struct AccessRules rules = { 0 };
                _cleanup_failure_ struct Failure failure = { 0 };

                write_credential("api-token", bad[i]);
                assert_true(access_rules_load(&config, &rules, &failure) < 0);
                assert_int_equal(failure.event, EVENT_CONFIG_INVALID);
                assert_string_equal(failure.path, scratch("api-token"));
                assert_null(rules.api_token);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hosts_of_loopback_machine_and_configuration_are_ours),
                cmocka_unit_test(test_other_hosts_are_foreign),
                cmocka_unit_test(test_machine_without_name_and_configuration_accepts_loopback_only),
                cmocka_unit_test(test_exactly_one_host_is_needed_since_http_1_1),
                cmocka_unit_test(test_foreign_host_is_refused_even_for_health_and_with_a_token),
                cmocka_unit_test(test_origin_must_be_ours),
                cmocka_unit_test(test_access_follows_peer_and_tokens),
                cmocka_unit_test(test_only_a_whole_bearer_token_counts),
                cmocka_unit_test(test_proxied_request_is_not_from_the_loopback),
                cmocka_unit_test(test_loopback_addresses_are_told_from_others),
                cmocka_unit_test_setup_teardown(test_tokens_come_from_the_credentials_directory,
                        scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_token_that_no_client_can_send_is_refused_at_start, scratch_setup,
                        scratch_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
