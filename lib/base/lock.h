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
 *   registry   data/locks/registry.lock   exclusive: who changes the project registry
 *   backups    backups/.lock              shared: publish, validate, ...; exclusive: prune, restore
 *   staging    the directory itself       held by its maker; cleaners skip what is locked
 *
 * An exclusive holder writes `pid program since` into the file, for the waiter to name. A child
 * that keeps the descriptor keeps the lock.
 *
 * A process that holds the gate and the store lock exclusively can have a child open the live
 * database under them: the child inherits a descriptor of the store lock, and finds its number in
 * ATOCORE_STORE_LOCK_FD.
 */

#include <stdint.h>

#include "lib/base/failure.h"
#include "lib/base/operation.h"

enum LockMode {
        LOCK_MODE_SHARED,
        LOCK_MODE_EXCLUSIVE,
};

#define LOCK_STORE_FD_VARIABLE "ATOCORE_STORE_LOCK_FD"

struct Lock;

/* Takes the lock on the file `path` (created when absent; its directory must exist, but for
 * data/locks), waiting up to operation->lock_wait seconds. Past that LOCK_BUSY, -EAGAIN: the
 * sentence names the holder and the deadline. Cancelled: INTERRUPTED, -EINTR.
 *
 * LOCK_MODE_SHARED is content with a file that it may only read. On a read-only file system where
 * there is none, nobody can write what it would protect: 0 with *ret_lock NULL. */
int lock_acquire(const char *path, enum LockMode mode, const struct Operation *operation,
        struct Lock **ret_lock, struct Failure *failure);

/* Through the gate: the store lock, shared, for as long as the live database is open. Where
 * ATOCORE_STORE_LOCK_FD is set, the parent's instead, with no gate, nothing to wait for, and
 * nothing changed in the file or in the lock. A number that is no descriptor of
 * operation->layout->store_lock is LOCK_FAILED: that something else was inherited is an error, not
 * a reason to ask for a lock that the parent may hold. Where operation->store_lock is set, a share
 * in that: it cannot be lost meanwhile, and the gate may be closed. */
int lock_acquire_store(
        const struct Operation *operation, struct Lock **ret_lock, struct Failure *failure);

/* The backups lock, for what reads or changes backups/. Where there is no backups/, there is
 * nothing to protect: 0 with *ret_lock NULL. */
int lock_acquire_backups(const struct Operation *operation, enum LockMode mode,
        struct Lock **ret_lock, struct Failure *failure);

/* RESTORE_INTERRUPTED (-EBUSY) when data/restore-journal.json tells of a restore that did not get
 * to its end: what is live may be a mixture. The two functions above ask this themselves, once they
 * have the lock that a running restore holds. */
int lock_refuse_interrupted(const struct Layout *layout, struct Failure *failure);

/* The descriptor behind it, for a child to inherit: it is the lock's, and closed with it. -1 for
 * NULL. */
int lock_fd(const struct Lock *lock);

/* flock on an open directory; never waits. -EAGAIN when another holds it. The lock lives as long
 * as the open file description. */
int lock_directory(int dir_fd);

struct Lock *lock_release(struct Lock *lock);
DEFINE_POINTER_CLEANUP(struct Lock *, lock_release)
#define _cleanup_lock_ _cleanup_(lock_releasep)
