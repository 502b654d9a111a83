/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * atocore.conf: `key=value` lines, # and ; comments, no sections. Read once, validated whole:
 * an unknown key, a key given twice or a value out of range is a failure that names file, line and
 * key (CONFIG_INVALID). config_keys is the one table of all keys; atocore.conf(5) is tested
 * against it.
 */

#include <stddef.h>
#include <stdint.h>

#include "lib/base/failure.h"

struct Config {
        char *root;           /* storage root, absolute */
        char **allowed_hosts; /* extra names accepted in Host:, NULL-terminated, maybe NULL */
        uint64_t retention_daily;
        uint64_t retention_weekly;
        uint64_t retention_monthly;
        uint64_t lock_wait; /* seconds to wait for a lock */
};

struct ConfigKey {
        const char *name;
        const char *default_text; /* as it would be written in the file */
        const char *help;
};
extern const struct ConfigKey config_keys[]; /* ends with a NULL name */

/* Storage root: `root_option` (--root, may be NULL), else ATOCORE_ROOT, else the file's root=, else
 * the built-in. The file: `file_option` (--config; must exist), else /etc/atocore/atocore.conf
 * (may be absent). */
int config_load(const char *file_option, const char *root_option, struct Config **ret_config,
        struct Failure *failure);
struct Config *config_free(struct Config *config);
DEFINE_POINTER_CLEANUP(struct Config *, config_free)
#define _cleanup_config_ _cleanup_(config_freep)
