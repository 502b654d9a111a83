/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/worker.h"

#include <errno.h>

#include "daemon/document.h"
#include "lib/base/event.h"

void worker_init(struct Worker *worker, struct Daemon *daemon, enum SqliteMode store_mode) {
        *worker = (struct Worker){
                .daemon = daemon,
                .store_mode = store_mode,
                .clock = *daemon->clock,
        };
}

void worker_clear(struct Worker *worker) {
        worker_close_store(worker);
}

static bool cancelled(void *userdata) {
        struct Worker *worker = userdata;

        return atomic_load(&worker->daemon->cancelled);
}

static void report_notice(const struct Event *event, const char *message, void *userdata) {
        (void) userdata;
        event_emit(event, "%s", message);
}

struct Operation worker_operation(struct Worker *worker) {
        worker->clock = *worker->daemon->clock;
        return (struct Operation){
                .layout = worker->daemon->layout,
                .config = worker->daemon->config,
                .clock = &worker->clock,
                .program = "atocored",
                .lock_wait = 0,
                .store_lock = worker->daemon->lock,
                .cancelled = cancelled,
                .notice = report_notice,
                .userdata = worker,
        };
}

int worker_store(struct Worker *worker, struct Store **ret_store, struct Response *response) {
        _cleanup_failure_ struct Failure failure = { 0 };

        /* Deleted or replaced by hand, past the locks: nothing may be answered out of the old file,
         * and nothing acknowledged that is written into it. */
        if (worker->store && store_has_moved(worker->store))
                worker_close_store(worker);
        if (!worker->store) {
                struct Operation operation = worker_operation(worker);
                int r = store_open(&operation, worker->store_mode, &worker->store, &failure);

                if (r >= 0 && worker->cache_bytes > 0)
                        r = store_set_cache(worker->store, worker->cache_bytes, &failure);
                if (r < 0)
                        worker_close_store(worker);

                /* A lock that is busy here is the gate, held by a restore: not a conflict with what
                 * the client asks for, but a matter of waiting. */
                if (r < 0 && failure.event == EVENT_LOCK_BUSY)
                        return response_failure_as(response, HTTP_UNAVAILABLE, &failure);
                if (r < 0)
                        return response_failure(response, &failure);
        }
        *ret_store = worker->store;
        return 0;
}

void worker_close_store(struct Worker *worker) {
        worker->store = store_close(worker->store);
}

int worker_registry(struct Worker *worker, struct RegistryView **ret_view, struct Failure *stale,
        struct Response *response) {
        _cleanup_failure_ struct Failure failure = { 0 };

        if (registry_cache_get(worker->daemon->registry, ret_view, &failure) < 0)
                return response_failure(response, &failure);
        if (stale)
                failure_move(stale, &failure);
        return 0;
}

static json_object *known_ids(const struct Registry *registry) {
        json_object *ids = json_object_new_array();

        for (size_t i = 0; ids && i < registry->n_projects; i++)
                document_append(ids, json_object_new_string(registry->projects[i].id));
        return ids;
}

int worker_project(const struct Registry *registry, const char *name,
        const struct Project **ret_project, struct Response *response) {
        const struct Project *project = registry_find(registry, name);
        _cleanup_free_ char *known = NULL;

        if (project) {
                *ret_project = project;
                return 0;
        }
        known = registry_known_ids(registry);
        (void) response_problem(response, HTTP_NOT_FOUND, event_code(EVENT_PROJECT_UNKNOWN),
                "No project has the id or alias %s; known are: %s", name,
                known && known[0] != '\0' ? known : "none");
        response_add_member(response, "known", known_ids(registry));
        return -ECANCELED;
}
