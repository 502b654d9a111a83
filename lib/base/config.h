/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * atocore.conf: `key=value` lines, # and ; comments, no sections. Read once, validated whole:
 * an unknown key, a key given twice or a value out of range is a failure that names file, line and
 * key (CONFIG_INVALID). config_keys is the one table of all keys; atocore.conf(5) is tested
 * against it.
 *
 * The parser is libinih: a comment may also follow a value after " ;", a line holds 198 characters
 * (Debian's build), and a line that begins with a blank continues the one above, which only
 * allowed_hosts takes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/failure.h"

struct Config {
        char *root;           /* storage root, absolute */
        char **allowed_hosts; /* extra names accepted in Host:, NULL-terminated, maybe NULL */
        uint64_t retention_daily;
        uint64_t retention_weekly;
        uint64_t retention_monthly;
        uint64_t lock_wait;         /* seconds to wait for a lock */
        uint64_t watch_interval;    /* seconds after which a watcher looks at all sources, not 0 */
        char *archive_encrypt;      /* "age:RECIPIENT", "gpg:KEYID" or "" */
        char *archive_gpg_key;      /* file with the public key of gpg:KEYID */
        char *drill_query;          /* a prompt that restored data must find something for, or "" */
        char *offsite;              /* "restic:REPOSITORY", "rclone:REMOTE:PATH" or "" */
        bool offsite_retention;     /* what retention does not keep is deleted there too */
        char *vector_store;         /* "chroma:URL" or ""; where it is, `embedding` is too */
        char *embedding;            /* "openai:URL" or "" */
        char *embedding_model;      /* what the server is asked for by name, or "" */
        uint64_t vector_timeout_ms; /* that a query waits for both servers */
};

struct ConfigKey {
        const char *name;
        const char *default_text; /* as it would be written in the file */
        const char *help;

        /* How a value gets into struct Config. Returns -EINVAL for a value that is none: `expected`
         * says what it has to be. */
        int (*set)(const struct ConfigKey *key, const char *value, void *member);
        const char *expected;
        size_t member; /* offset in struct Config */
        uint64_t max;  /* numbers */
};
extern const struct ConfigKey config_keys[]; /* ends with a NULL name */

/* Storage root: `root_option` (--root, may be NULL), else ATOCORE_ROOT, else the file's root=, else
 * the built-in; an empty ATOCORE_ROOT counts for nothing. The file: `file_option` (--config; must
 * exist), else /etc/atocore/atocore.conf (may be absent). CONFIG_INVALID; a --root that is no
 * absolute path is USAGE. */
int config_load(const char *file_option, const char *root_option, struct Config **ret_config,
        struct Failure *failure);
struct Config *config_free(struct Config *config);
DEFINE_POINTER_CLEANUP(struct Config *, config_free)
#define _cleanup_config_ _cleanup_(config_freep)

/* A whole decimal number, digits only, at most `max`. -EINVAL, -ERANGE. */
int config_parse_number(const char *text, uint64_t max, uint64_t *ret_value);
