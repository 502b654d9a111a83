/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What every long operation is given by its caller: where, by which clock, and how to report on
 * the way. One per run; not shared between threads.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/config.h"
#include "lib/base/event.h"
#include "lib/base/layout.h"
#include "lib/base/stamp.h"

struct Lock;

struct Operation {
        const struct Layout *layout;
        const struct Config *config;
        struct Clock *clock;
        const char *program; /* written into locks: "atocore-backup" */
        uint64_t lock_wait;  /* seconds to wait for a lock; 0: do not wait */
        /* The store lock, where the process holds it for all its operations; else NULL. */
        const struct Lock *store_lock;

        /* All may be NULL. Called on the operation's thread. */
        bool (*cancelled)(void *userdata); /* true: stop cleanly with INTERRUPTED */
        void (*progress)(const char *what, uint64_t done, uint64_t total, void *userdata);
        /* Something worth an event that does not fail the operation (a file skipped, a leftover
         * removed); `message` is a sentence. */
        void (*notice)(const struct Event *event, const char *message, void *userdata);
        void *userdata;
};

/* Conveniences that take care of the NULLs. */
bool operation_cancelled(const struct Operation *operation);
/* -EINTR with INTERRUPTED set in `failure` when cancelled, else 0. */
int operation_check(const struct Operation *operation, struct Failure *failure);
void operation_progress(
        const struct Operation *operation, const char *what, uint64_t done, uint64_t total);
void operation_notice(const struct Operation *operation, const struct Event *event,
        const char *format, ...) __attribute__((format(printf, 3, 4)));
