/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who may ask what: the admin socket, loopback peers, tokens, and the names in Host and Origin that
 * keep a browser from being turned against us (DNS rebinding). The rules are in docs/api.md;
 * deciding is pure.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/config.h"
#include "lib/base/failure.h"

struct AccessRules {
        char *const *allowed_hosts; /* of the configuration, NULL-terminated, maybe NULL */
        char *host_name;            /* of this machine, maybe NULL */
        char *admin_token;          /* maybe NULL */
        char *api_token;            /* maybe NULL */
};

/* The host name, and the credentials `admin-token` and `api-token` from $CREDENTIALS_DIRECTORY
 * where they exist, without a newline at their end. A token that is empty or has characters that no
 * header can carry is CONFIG_INVALID. `config` is borrowed. */
int access_rules_load(
        const struct Config *config, struct AccessRules *ret_rules, struct Failure *failure);
void access_rules_clear(struct AccessRules *rules);
#define _cleanup_access_rules_ _cleanup_(access_rules_clear)

/* What a route needs. */
enum AccessNeed {
        ACCESS_ALWAYS, /* no token, ever: /health */
        ACCESS_OPEN,   /* the api token, where one is configured */
        ACCESS_ADMIN,
};

struct AccessPeer {
        bool admin_socket; /* file permissions decided already */
        bool loopback;
};

/* What the head of a request says about who sent it. Texts are borrowed, NULL when absent. */
struct AccessHead {
        bool http_1_1;
        const char *host;
        size_t n_hosts;
        const char *origin;
        size_t n_origins;
        const char *authorization;
        size_t n_authorizations;
        bool forwarded; /* bears a header that proxies add */
};

enum AccessVerdict {
        ACCESS_GRANTED,
        ACCESS_HOST_AMBIGUOUS,   /* HTTP/1.1 without Host, or several: 400 */
        ACCESS_HOST_FOREIGN,     /* 403 */
        ACCESS_ORIGIN_FOREIGN,   /* 403 */
        ACCESS_TOKEN_MISSING,    /* 401 */
        ACCESS_TOKEN_WRONG,      /* 401 */
        ACCESS_ADMIN_TOKEN_ONLY, /* the api token is right, and not enough: 401 */
        ACCESS_LOOPBACK_ONLY,    /* admin from elsewhere, no admin token configured: 403 */
};

enum AccessVerdict access_judge(const struct AccessRules *rules, const struct AccessPeer *peer,
        const struct AccessHead *head, enum AccessNeed need);

/* Is `authority` (`host`, `host:port`, `[::1]:port`) the loopback, this machine or an allowed host?
 */
bool access_host_is_ours(const struct AccessRules *rules, const char *authority);

/* Notes what the header `name` says about its sender. */
void access_head_add(struct AccessHead *head, const char *name, const char *value);

/* 127.0.0.0/8, ::1, the former mapped into IPv6; a unix socket counts as loopback. */
bool access_address_is_loopback(const struct sockaddr *address);
