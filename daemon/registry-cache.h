/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The project registry, looked at for each request and read again when its file changed. Shared by
 * all workers: each holds a view of one reading for as long as it needs it.
 *
 * A file that cannot be used any more, or that is gone, does not take away what it said before:
 * that is served on, and told as REGISTRY_INVALID, REGISTRY_MISSING, or what keeps it from being
 * read: once for each state of the file, until REGISTRY_MENDED. It is in memory only; a daemon that
 * starts has nothing but the file.
 */

#include <stdbool.h>

#include "lib/base/failure.h"
#include "lib/base/layout.h"
#include "lib/knowledge/registry.h"

struct RegistryCache;

/* One reading of the file; does not change. */
struct RegistryView {
        unsigned references; /* guarded by the cache */
        struct RegistryCache *cache;
        struct Registry *registry;
};

/* `layout` must outlive it. -ENOMEM. */
int registry_cache_new(const struct Layout *layout, struct RegistryCache **ret_cache);
struct RegistryCache *registry_cache_free(struct RegistryCache *cache);
DEFINE_POINTER_CLEANUP(struct RegistryCache *, registry_cache_free)
#define _cleanup_registry_cache_ _cleanup_(registry_cache_freep)

/* What is to be served. 0 with `failure` set: it is what the file said before, and why. Less than 0
 * with `failure` set: there is nothing. `failure` may be NULL. */
int registry_cache_get(
        struct RegistryCache *cache, struct RegistryView **ret_view, struct Failure *failure);

/* What is served is not what was on disk when it was last looked at. Never waits. */
bool registry_cache_is_stale(struct RegistryCache *cache);

struct RegistryView *registry_view_release(struct RegistryView *view);
DEFINE_POINTER_CLEANUP(struct RegistryView *, registry_view_release)
#define _cleanup_registry_view_ _cleanup_(registry_view_releasep)
