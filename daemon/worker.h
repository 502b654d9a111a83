/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a handler works with: the daemon's constant parts, and what belongs to the one thread that
 * it runs on, a connection to the store above all.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/access.h"
#include "daemon/registry-cache.h"
#include "daemon/response.h"
#include "lib/base/operation.h"
#include "lib/knowledge/store.h"
#include "lib/knowledge/vectors.h"

/* Set up before the first worker starts, constant from then on; what is not guards itself. */
struct Daemon {
        const struct Config *config;
        const struct Layout *layout;
        const struct Clock *clock;
        const struct AccessRules *access;
        struct RegistryCache *registry;
        struct HealthTold *told; /* health.h */
        struct Vectors *vectors; /* NULL: none are configured, or it only starts */
        const struct Lock *lock; /* the store lock; NULL where there can be none */
        uint64_t started_ms;     /* monotonic_ms() */
        bool exposed;            /* listens beyond the loopback */
        atomic_bool cancelled;   /* long operations are to stop */
};

struct Worker {
        struct Daemon *daemon;
        enum SqliteMode store_mode;
        struct Store *store;  /* open from the first need on; NULL before */
        uint64_t cache_bytes; /* of the database that it may keep in memory; 0: next to nothing */
        struct Clock clock;   /* a copy: a frozen one may be moved on */
};

void worker_init(struct Worker *worker, struct Daemon *daemon, enum SqliteMode store_mode);
void worker_clear(struct Worker *worker);

/* For an operation of the library. It waits for no lock: who asks over HTTP is told at once that
 * another is at it. */
struct Operation worker_operation(struct Worker *worker);

/* The store, opened when it is not. Where it cannot be, the response is 503: -ECANCELED. */
int worker_store(struct Worker *worker, struct Store **ret_store, struct Response *response);
/* To be opened anew next time: it failed, or something else may be in its place. */
void worker_close_store(struct Worker *worker);

/* The registry; the caller lets go of it. 503 where there is none to serve. Where it is not the one
 * on disk `stale`, which may be NULL, says why. */
int worker_registry(struct Worker *worker, struct RegistryView **ret_view, struct Failure *stale,
        struct Response *response);

/* The project that `name` means in `registry`: 404 with the known ids when it means none. */
int worker_project(const struct Registry *registry, const char *name,
        const struct Project **ret_project, struct Response *response);
