/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What changes in the sources, as the kernel tells it (inotify(7)): a watch on each directory that
 * an ingest would read, by the same walk (source.h), so that hidden directories, links and the like
 * are what they are there.
 *
 * - A directory is watched before it is read, and one that is new is walked at once: what is made
 *   in it meanwhile is told, or was met.
 * - A watch is on a directory, not on its path: what is renamed within the tree is forgotten under
 *   its old path and walked under the new one.
 * - The places where the sources and the database hang are watched too, and the table of mounts: a
 *   source that comes, goes or is another one now changes everything, and so does a restore, whose
 *   database knows the files of another day.
 * - Whatever the kernel could not tell (its queue was full, a watch could not be had) changes
 *   everything as well. Who is told so begins anew, and then looks at all there is: nothing is lost
 *   between the two, because the watches come first.
 *
 * Not told by the kernel, and so left to the next look at everything: what is written through
 * mmap(2), by another machine to a network file system, or to the target of a link that is hidden
 * or no document's name itself; and what is in two sources at once, which is told of one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/operation.h"
#include "lib/knowledge/changes.h"

struct Watch;

int watch_new(const struct Layout *layout, struct Watch **ret_watch, struct Failure *failure);
struct Watch *watch_free(struct Watch *watch);
DEFINE_POINTER_CLEANUP(struct Watch *, watch_free)
#define _cleanup_watch_ _cleanup_(watch_freep)

/* Drops all watches and sets them anew. WATCH_LIMITED (-ENOSPC, -EMFILE): the kernel gives no more
 * of them to this user; then there are none. READ_FAILED, INTERRUPTED. Sources that are not there
 * are no failure. */
int watch_begin(struct Watch *watch, const struct Operation *operation, struct Failure *failure);

/* Takes what the kernel has to tell by now; never waits. Returns whether it had to give up telling
 * (its queue was full), which has changed everything then. */
bool watch_read(struct Watch *watch, struct Changes *changes, uint64_t now_ms);
/* When the table of mounts has changed: everything has, if that put something else where a watched
 * directory was. */
void watch_look_at_mounts(struct Watch *watch, struct Changes *changes, uint64_t now_ms);

/* To poll(2): for POLLIN, then watch_read(); -1 while there are no watches. For POLLPRI, then
 * watch_look_at_mounts(); -1 where /proc is not mounted. */
int watch_fd(const struct Watch *watch);
int watch_mounts_fd(const struct Watch *watch);

/* How many directories of sources are watched. */
size_t watch_count(const struct Watch *watch);
