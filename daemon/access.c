/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "lib/base/credential.h"

#define AUTHORITY_SIZE 280 /* the longest name is 253 characters; with a port and brackets */

int access_rules_load(
        const struct Config *config, struct AccessRules *ret_rules, struct Failure *failure) {
        _cleanup_access_rules_ struct AccessRules rules = { .allowed_hosts =
                                                                    config->allowed_hosts };
        char name[HOST_NAME_MAX + 1] = "";
        int r;

        /* Without a host name there is one name less to accept, no more. */
        if (gethostname(name, sizeof name - 1) >= 0 && name[0] != '\0') {
                rules.host_name = strdup(name);
                if (!rules.host_name)
                        return failure_out_of_memory(failure);
        }
        r = credential_load_token("admin-token", &rules.admin_token, failure);
        if (r >= 0)
                r = credential_load_token("api-token", &rules.api_token, failure);
        if (r < 0)
                return r;
        *ret_rules = rules;
        rules = (struct AccessRules){ 0 };
        return 0;
}

void access_rules_clear(struct AccessRules *rules) {
        free(rules->host_name);
        (void) credential_free(rules->admin_token);
        (void) credential_free(rules->api_token);
        *rules = (struct AccessRules){ 0 };
}

/* Names and addresses. */

static bool address_v4_is_loopback(struct in_addr address) {
        return ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

static bool address_v6_is_loopback(const struct in6_addr *address) {
        struct in_addr mapped;

        if (!IN6_IS_ADDR_V4MAPPED(address))
                return IN6_IS_ADDR_LOOPBACK(address);
        memcpy(&mapped, address->s6_addr + 12, sizeof mapped);
        return address_v4_is_loopback(mapped);
}

bool access_address_is_loopback(const struct sockaddr *address) {
        switch (address->sa_family) {
        case AF_UNIX:
                return true;
        case AF_INET:
                return address_v4_is_loopback(((const struct sockaddr_in *) address)->sin_addr);
        case AF_INET6:
                return address_v6_is_loopback(&((const struct sockaddr_in6 *) address)->sin6_addr);
        default:
                return false;
        }
}

/* The host of `host`, `host:port`, `[address]` or `[address]:port`, in lower case and without the
 * dot that may end a name. False when it is none of these. */
static bool host_of_authority(const char *authority, char ret_host[AUTHORITY_SIZE]) {
        size_t size = strlen(authority);
        const char *port = NULL;

        if (size >= AUTHORITY_SIZE)
                return false;
        if (authority[0] == '[') {
                const char *end = strchr(authority, ']');

                if (!end || (end[1] != '\0' && end[1] != ':'))
                        return false;
                port = end[1] == ':' ? end + 2 : NULL;
                authority++;
                size = (size_t) (end - authority);
        } else {
                const char *colon = strchr(authority, ':');

                if (colon) {
                        port = colon + 1;
                        size = (size_t) (colon - authority);
                }
                if (size > 0 && authority[size - 1] == '.')
                        size--;
        }
        if (port && (strlen(port) > 5 || port[strspn(port, "0123456789")] != '\0'))
                return false;

        for (size_t i = 0; i < size; i++)
                ret_host[i] = authority[i] >= 'A' && authority[i] <= 'Z'
                        ? (char) (authority[i] - 'A' + 'a')
                        : authority[i];
        ret_host[size] = '\0';
        return size > 0;
}

static bool host_is_loopback(const char *host) {
        static const char suffix[] = ".localhost"; /* RFC 6761 §6.3: never anybody else's */
        size_t size = strlen(host);
        struct in6_addr v6;
        struct in_addr v4;

        if (inet_pton(AF_INET, host, &v4) == 1)
                return address_v4_is_loopback(v4);
        if (inet_pton(AF_INET6, host, &v6) == 1)
                return address_v6_is_loopback(&v6);
        return strcmp(host, suffix + 1) == 0 ||
                (size > strlen(suffix) && strcmp(host + size - strlen(suffix), suffix) == 0);
}

/* The full name, or its first label. */
static bool host_is_this_machine(const char *host, const char *name) {
        size_t label;

        if (!name)
                return false;
        if (strcasecmp(host, name) == 0)
                return true;
        label = strcspn(name, ".");
        return strlen(host) == label && strncasecmp(host, name, label) == 0;
}

bool access_host_is_ours(const struct AccessRules *rules, const char *authority) {
        char host[AUTHORITY_SIZE];

        if (!host_of_authority(authority, host))
                return false;
        if (host_is_loopback(host) || host_is_this_machine(host, rules->host_name))
                return true;
        for (char *const *allowed = rules->allowed_hosts; allowed && *allowed; allowed++)
                if (strcasecmp(host, *allowed) == 0)
                        return true;
        return false;
}

/* `http://host:port`. Anything else, "null" among it, is of nobody we know. */
static bool origin_is_ours(const struct AccessRules *rules, const char *origin) {
        static const char *const schemes[] = { "http://", "https://" };

        for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
                if (strncasecmp(origin, schemes[i], strlen(schemes[i])) == 0)
                        return access_host_is_ours(rules, origin + strlen(schemes[i]));
        return false;
}

/* Tokens. */

/* Takes as long for every wrong token of a length. */
static bool token_equals(const char *token, const char *given) {
        size_t size = strlen(token);
        volatile unsigned char difference = 0;

        if (strlen(given) != size)
                return false;
        for (size_t i = 0; i < size; i++)
                difference = (unsigned char) (difference | (token[i] ^ given[i]));
        return difference == 0;
}

/* The token of `Authorization: Bearer TOKEN`, or NULL. */
static const char *bearer(const struct AccessHead *head) {
        static const char scheme[] = "Bearer ";
        const char *token;

        if (head->n_authorizations != 1 ||
                strncasecmp(head->authorization, scheme, strlen(scheme)) != 0)
                return NULL;
        token = head->authorization + strlen(scheme);
        return token + strspn(token, " ");
}

static enum AccessVerdict judge_tokens(const struct AccessRules *rules,
        const struct AccessPeer *peer, const struct AccessHead *head, enum AccessNeed need) {
        const char *given = bearer(head);
        bool is_admin = rules->admin_token && given && token_equals(rules->admin_token, given);
        bool is_client = rules->api_token && given && token_equals(rules->api_token, given);
        bool wrong = given && !is_admin && !is_client;

        if (need == ACCESS_ALWAYS || is_admin)
                return ACCESS_GRANTED;
        if (need == ACCESS_ADMIN && rules->admin_token) {
                if (is_client)
                        return ACCESS_ADMIN_TOKEN_ONLY;
                return wrong ? ACCESS_TOKEN_WRONG : ACCESS_TOKEN_MISSING;
        }
        if (rules->api_token && !is_client)
                return wrong ? ACCESS_TOKEN_WRONG : ACCESS_TOKEN_MISSING;
        if (need == ACCESS_ADMIN && (!peer->loopback || head->forwarded))
                return ACCESS_LOOPBACK_ONLY;
        return ACCESS_GRANTED;
}

enum AccessVerdict access_judge(const struct AccessRules *rules, const struct AccessPeer *peer,
        const struct AccessHead *head, enum AccessNeed need) {
        if (head->n_hosts > 1 || (head->http_1_1 && head->n_hosts == 0))
                return ACCESS_HOST_AMBIGUOUS;
        if (peer->admin_socket) /* no browser reaches it, and its file permissions decided */
                return ACCESS_GRANTED;
        if (head->host && !access_host_is_ours(rules, head->host))
                return ACCESS_HOST_FOREIGN;
        if (head->n_origins > 1 || (head->origin && !origin_is_ours(rules, head->origin)))
                return ACCESS_ORIGIN_FOREIGN;
        return judge_tokens(rules, peer, head, need);
}

void access_head_add(struct AccessHead *head, const char *name, const char *value) {
        switch (name[0] | 0x20) {
        case 'a':
                if (strcasecmp(name, "Authorization") == 0)
                        head->authorization = value, head->n_authorizations++;
                break;
        case 'f':
                head->forwarded |= strcasecmp(name, "Forwarded") == 0;
                break;
        case 'h':
                if (strcasecmp(name, "Host") == 0)
                        head->host = value, head->n_hosts++;
                break;
        case 'o':
                if (strcasecmp(name, "Origin") == 0)
                        head->origin = value, head->n_origins++;
                break;
        case 'v':
                head->forwarded |= strcasecmp(name, "Via") == 0;
                break;
        case 'x':
                head->forwarded |= strncasecmp(name, "X-Forwarded-", 12) == 0 ||
                        strcasecmp(name, "X-Real-IP") == 0;
                break;
        default:
                break;
        }
}
