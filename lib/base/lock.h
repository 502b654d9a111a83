/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Locks are flock(2) on files: the kernel frees them with the process, so none is ever stale. They
 * are taken in this order and no other:
 *
 *   gate       data/locks/gate.lock       exclusive: restore. Who opens the live database passes
 *                                         through: takes it shared, the store lock, and lets go
 *   store      data/locks/store.lock      shared: the live database is open; exclusive: restore
 *   ingestion  data/locks/ingestion.lock  exclusive: ingest, a snapshot with the vector store
 *   backups    backups/.lock              shared: publish, validate, ...; exclusive: prune, restore
 *   staging    the directory itself       held by its maker; cleaners skip what is locked
 *
 * An exclusive holder writes `pid program since` into the file, for the waiter to name. A child
 * that keeps the descriptor keeps the lock.
 */

#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/base/operation.h"

enum LockMode {
        LOCK_MODE_SHARED,
        LOCK_MODE_EXCLUSIVE,
};

struct Lock;

/* Takes the lock on the file `path` (created when absent; its directory must exist, but for
 * data/locks), waiting up to operation->lock_wait seconds. Past that LOCK_BUSY, -EAGAIN: the
 * sentence names the holder and the deadline. Cancelled: INTERRUPTED, -EINTR.
 *
 * LOCK_MODE_SHARED is content with a file that it may only read. On a read-only file system where
 * there is none, nobody can write what it would protect: 0 with *ret_lock NULL. */
int lock_acquire(const char *path, enum LockMode mode, const struct Operation *operation,
        struct Lock **ret_lock, struct Failure *failure);

/* Through the gate: the store lock, shared, for as long as the live database is open. */
int lock_acquire_store(
        const struct Operation *operation, struct Lock **ret_lock, struct Failure *failure);

/* flock on an open directory; never waits. -EAGAIN when another holds it. The lock lives as long
 * as the open file description. */
int lock_directory(int dir_fd);

struct Lock *lock_release(struct Lock *lock);
DEFINE_POINTER_CLEANUP(struct Lock *, lock_release)
#define _cleanup_lock_ _cleanup_(lock_releasep)
