/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What failed, for the one who reports it. The library returns -errno and, where a caller gave it
 * a struct Failure, says there which event this is, on which object, and in one sentence what to
 * do about it. It logs nothing itself: ops/ and daemon/ report each failure once.
 *
 * The first failure is the cause and is kept; later failure_set() calls on the same struct are
 * ignored, so callers up the stack may add theirs without losing it.
 */

#include <stdbool.h>

#include "lib/base/cleanup.h"
#include "lib/base/event-ids.h"
#include "lib/base/stamp.h"

struct Failure {
        enum EventId event;     /* EVENT_NONE while nothing failed */
        int error;              /* errno value behind it, 0 when there is none */
        char stamp[STAMP_SIZE]; /* snapshot concerned, or "" */
        char *path;             /* object concerned, or NULL; owned */
        const char *code;       /* static; says more than the event's own code, or NULL */
        char *message;          /* one sentence; owned; NULL when memory ran out */
};

/* Records the failure and returns -error, or -EBADMSG where error is 0. `%m` in the format is the
 * text of `error`. `failure` may be NULL: then only the return value counts. `path` may be NULL.
 * The sentence ends without a full stop. */
int failure_set(struct Failure *failure, enum EventId event, int error, const char *path,
        const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The failure of an I/O call on `path` that is to be written: picks the event that says what an
 * operator must do (no space or quota, read-only, no permission, I/O error). `doing` reads
 * "write", "create", …: the sentence becomes "Cannot <doing> <path>: <error>; <action>". `path`
 * must not be NULL here. Writing: NO_SPACE, IO_ERROR, else WRITE_FAILED; reading:
 * PERMISSION_DENIED, else READ_FAILED; both: OUT_OF_MEMORY, INTERRUPTED. */
int failure_set_write(struct Failure *failure, int error, const char *path, const char *doing);
int failure_set_read(struct Failure *failure, int error, const char *path, const char *doing);
/* The same on `name` in `directory`, for who has the directory open; "" is the directory itself. */
int failure_set_write_at(struct Failure *failure, int error, const char *directory,
        const char *name, const char *doing);
int failure_set_read_at(struct Failure *failure, int error, const char *directory, const char *name,
        const char *doing);

int failure_out_of_memory(struct Failure *failure); /* -ENOMEM */

void failure_set_stamp(struct Failure *failure, const char *stamp);
bool failure_is_set(const struct Failure *failure);
const char *failure_message(const struct Failure *failure); /* never NULL */
void failure_clear(struct Failure *failure);

#define _cleanup_failure_ _cleanup_(failure_clear)

/* Hands on what `from` says, which then says nothing. What `failure` held is not freed. */
static inline void failure_move(struct Failure *failure, struct Failure *from) {
        *failure = *from;
        *from = (struct Failure){ 0 };
}
