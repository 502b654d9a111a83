/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/registry-cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

struct RegistryCache {
        pthread_mutex_t mutex;
        char *path;
        struct stat status; /* of the file when `view` was read */
        struct RegistryView *view;
};

int registry_cache_new(const char *path, struct RegistryCache **ret_cache) {
        struct RegistryCache *cache = calloc(1, sizeof *cache);

        if (!cache)
                return -ENOMEM;
        cache->path = strdup(path);
        if (!cache->path) {
                free(cache);
                return -ENOMEM;
        }
        (void) pthread_mutex_init(&cache->mutex, NULL);
        *ret_cache = cache;
        return 0;
}

/* Under the mutex. */
static struct RegistryView *unreference(struct RegistryView *view) {
        if (view && --view->references == 0) {
                (void) registry_free(view->registry);
                free(view);
        }
        return NULL;
}

struct RegistryCache *registry_cache_free(struct RegistryCache *cache) {
        if (!cache)
                return NULL;
        (void) unreference(cache->view);
        (void) pthread_mutex_destroy(&cache->mutex);
        free(cache->path);
        free(cache);
        return NULL;
}

static bool same_time(const struct timespec *a, const struct timespec *b) {
        return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_file(const struct stat *a, const struct stat *b) {
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
                same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

/* The status is taken before the content: a change in between is seen the next time. */
static int refresh(
        struct RegistryCache *cache, const struct stat *status, struct Failure *failure) {
        _cleanup_registry_ struct Registry *registry = NULL;
        struct RegistryView *view;
        int r;

        r = registry_load(cache->path, &registry, failure);
        if (r < 0)
                return r;
        view = malloc(sizeof *view);
        if (!view)
                return failure_out_of_memory(failure);
        *view = (struct RegistryView){
                .references = 1,
                .cache = cache,
                .registry = STEAL(registry),
        };
        cache->view = view;
        cache->status = *status;
        return 0;
}

int registry_cache_get(
        struct RegistryCache *cache, struct RegistryView **ret_view, struct Failure *failure) {
        struct stat status;
        bool known;
        int r = 0;

        known = stat(cache->path, &status) >= 0;
        (void) pthread_mutex_lock(&cache->mutex);
        if (!cache->view || !known || !same_file(&status, &cache->status)) {
                cache->view = unreference(cache->view);
                r = refresh(cache, known ? &status : &(struct stat){ 0 }, failure);
        }
        if (r >= 0) {
                cache->view->references++;
                *ret_view = cache->view;
        }
        (void) pthread_mutex_unlock(&cache->mutex);
        return r;
}

struct RegistryView *registry_view_release(struct RegistryView *view) {
        struct RegistryCache *cache;

        if (!view)
                return NULL;
        cache = view->cache;
        (void) pthread_mutex_lock(&cache->mutex);
        (void) unreference(view);
        (void) pthread_mutex_unlock(&cache->mutex);
        return NULL;
}
