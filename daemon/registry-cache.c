/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/registry-cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/base/digest.h"
#include "lib/base/event.h"
#include "lib/knowledge/evidence.h"
#include "lib/knowledge/registry-edit.h"

#define SERVED_ON "the projects as they were before are served until then"

struct RegistryCache {
        pthread_mutex_t mutex; /* over all below but the last */
        const struct Layout *layout;
        struct Evidence evidence;     /* of the file when it was last read */
        char digest[DIGEST_HEX_SIZE]; /* of its text then; "" where it has to be read again */
        struct RegistryView *view;    /* the last that could be used, or NULL */
        struct Failure failure;       /* why the file as it is now is not in `view` */
        atomic_bool stale;            /* both are there; for who must not wait */
};

int registry_cache_new(const struct Layout *layout, struct RegistryCache **ret_cache) {
        struct RegistryCache *cache = calloc(1, sizeof *cache);

        if (!cache)
                return -ENOMEM;
        cache->layout = layout;
        (void) pthread_mutex_init(&cache->mutex, NULL);
        *ret_cache = cache;
        return 0;
}

/* Under the mutex, as all that follow but the last three. */
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
        failure_clear(&cache->failure);
        (void) pthread_mutex_destroy(&cache->mutex);
        free(cache);
        return NULL;
}

/* Takes `registry` over. */
static int take(struct RegistryCache *cache, struct Registry *registry, struct Failure *failure) {
        struct RegistryView *view = malloc(sizeof *view);

        if (!view) {
                (void) registry_free(registry);
                return failure_out_of_memory(failure);
        }
        *view = (struct RegistryView){ .references = 1, .cache = cache, .registry = registry };
        (void) unreference(cache->view);
        cache->view = view;
        if (failure_is_set(&cache->failure))
                event_emit(&(struct Event){ .id = EVENT_REGISTRY_MENDED,
                                   .path = cache->layout->registry },
                        "Project registry %s can be used again; projects: %zu",
                        cache->layout->registry, registry->n_projects);
        failure_clear(&cache->failure);
        return 0;
}

/* Told when it is news. Takes `failure` over. */
static void fail(struct RegistryCache *cache, struct Failure *failure) {
        if (!failure_is_set(&cache->failure) ||
                strcmp(failure_message(&cache->failure), failure_message(failure)) != 0)
                event_emit(
                        &(struct Event){
                                .id = failure->event,
                                .path = failure->path,
                                .error = failure->error,
                        },
                        "%s%s", failure_message(failure), cache->view ? "; " SERVED_ON : "");
        failure_clear(&cache->failure);
        failure_move(&cache->failure, failure);
}

/* A text that was seen last time says what it said then: while its times do not prove that, shortly
 * after an edit, it is read and not parsed. */
static int read_again(
        struct RegistryCache *cache, const struct Evidence *evidence, struct Failure *failure) {
        const char *path = cache->layout->registry;
        struct Registry *registry = NULL;
        _cleanup_free_ char *text = NULL;
        char digest[DIGEST_HEX_SIZE];
        size_t size;
        int r;

        r = registry_read(path, &text, &size, failure);
        if (r >= 0 && digest_buffer(text, size, digest) < 0)
                r = failure_out_of_memory(failure);
        if (r >= 0 && strcmp(digest, cache->digest) == 0) {
                cache->evidence = *evidence;
                return 0;
        }
        cache->digest[0] = '\0';
        if (r == -ENOENT && !failure_is_set(failure))
                return registry_missing(cache->layout, failure);
        if (r >= 0)
                r = registry_parse_text(path, text, size, &registry, failure);
        if (r >= 0)
                r = take(cache, registry, failure);
        if (r >= 0 || failure->event == EVENT_REGISTRY_INVALID) {
                memcpy(cache->digest, digest, sizeof digest);
                cache->evidence = *evidence;
        }
        return r;
}

/* The status is taken before the content: a change in between is seen the next time. */
static void look(struct RegistryCache *cache) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct Evidence evidence = { 0 };
        struct timespec now;
        struct stat status;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        if (stat(cache->layout->registry, &status) >= 0) {
                if (cache->digest[0] != '\0' &&
                        evidence_proves_unchanged(&cache->evidence, &status))
                        return;
                evidence = evidence_of(&status, &now);
        }
        if (read_again(cache, &evidence, &failure) < 0)
                fail(cache, &failure);
        atomic_store(&cache->stale, cache->view && failure_is_set(&cache->failure));
}

int registry_cache_get(
        struct RegistryCache *cache, struct RegistryView **ret_view, struct Failure *failure) {
        const struct Failure *why = &cache->failure;
        int r = 0;

        (void) pthread_mutex_lock(&cache->mutex);
        look(cache);
        if (failure_is_set(why))
                r = failure_set(failure, why->event, why->error, why->path, "%s%s",
                        failure_message(why), cache->view ? "; " SERVED_ON : "");
        if (cache->view) {
                cache->view->references++;
                *ret_view = cache->view;
                r = 0;
        }
        (void) pthread_mutex_unlock(&cache->mutex);
        return r;
}

bool registry_cache_is_stale(struct RegistryCache *cache) {
        return atomic_load(&cache->stale);
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
