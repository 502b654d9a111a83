/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The project registry, read again only when its file changed. Shared by all workers: each holds a
 * view of one reading for as long as it needs it.
 */

#include "lib/base/failure.h"
#include "lib/knowledge/registry.h"

struct RegistryCache;

/* One reading of the file; does not change. */
struct RegistryView {
        unsigned references; /* guarded by the cache */
        struct RegistryCache *cache;
        struct Registry *registry;
};

int registry_cache_new(const char *path, struct RegistryCache **ret_cache); /* -ENOMEM */
struct RegistryCache *registry_cache_free(struct RegistryCache *cache);
DEFINE_POINTER_CLEANUP(struct RegistryCache *, registry_cache_free)
#define _cleanup_registry_cache_ _cleanup_(registry_cache_freep)

/* As registry_load(): absent is -ENOENT without a failure. A file that became invalid is a failure
 * now: what it said before is not served on. */
int registry_cache_get(
        struct RegistryCache *cache, struct RegistryView **ret_view, struct Failure *failure);

struct RegistryView *registry_view_release(struct RegistryView *view);
DEFINE_POINTER_CLEANUP(struct RegistryView *, registry_view_release)
#define _cleanup_registry_view_ _cleanup_(registry_view_releasep)
