/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who keeps the live data in use, as /proc tells: the holders of the store lock, and processes that
 * have a file of data/db open past all locks of ours.
 */

#include "lib/base/lock.h"

/* The store lock, exclusive. A daemon that holds it is ended (SIGTERM: it finishes what is under
 * way) and waited for; others are waited for as well. Past operation->lock_wait seconds LOCK_BUSY
 * names them. The caller holds the gate, so that nobody new comes. */
int holders_take_store(
        const struct Operation *operation, struct Lock **ret_lock, struct Failure *failure);

/* LOCK_BUSY when another process has a file of data/db open or locked. */
int holders_refuse_foreign(const struct Operation *operation, struct Failure *failure);
