/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "daemon/health.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "daemon/document.h"
#include "daemon/project.h"
#include "lib/backup/snapshot.h"
#include "lib/backup/state.h"
#include "lib/base/event.h"
#include "lib/base/json-document.h"
#include "lib/command/notify.h"
#include "lib/knowledge/refusal.h"
#include "lib/knowledge/source.h"
#include "lib/knowledge/vector-state.h"

#define BACKUP_AGE_DAYS 3 /* there is one each day */
#define DAY_SECONDS     (24 * 60 * 60)

static const char *const check_names[CHECK_COUNT_] = {
        [CHECK_DATABASE] = "database",
        [CHECK_REGISTRY] = "registry",
        [CHECK_SOURCES] = "sources",
        [CHECK_BACKUPS] = "backups",
        [CHECK_LISTENER] = "listener",
        [CHECK_VECTORS] = "vectors",
};

static void set(struct HealthReport *report, enum HealthCheck check, bool degraded,
        const char *format, ...) __attribute__((format(printf, 4, 5)));
static void set(struct HealthReport *report, enum HealthCheck check, bool degraded,
        const char *format, ...) {
        va_list arguments;

        if (report->checks[check].detail) /* the first finding stands */
                return;
        report->checks[check].degraded = degraded;
        va_start(arguments, format);
        if (vasprintf(&report->checks[check].detail, format, arguments) < 0)
                report->checks[check].detail = NULL;
        va_end(arguments);
}

/* The checks. */

static void check_database(struct Worker *worker, struct HealthReport *report) {
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_store_ struct Store *store = NULL;
        struct Operation operation = worker_operation(worker);

        /* Anew each time: another file may be in its place by now. */
        if (store_open(&operation, SQLITE_MODE_READ, &store, &failure) < 0)
                set(report, CHECK_DATABASE, true, "%s", failure_message(&failure));
        else
                set(report, CHECK_DATABASE, false, "It can be read");
}

static void check_registry(
        struct Worker *worker, struct HealthReport *report, struct RegistryView **ret_view) {
        _cleanup_failure_ struct Failure failure = { 0 };

        if (registry_cache_get(worker->daemon->registry, ret_view, &failure) < 0 ||
                failure_is_set(&failure))
                set(report, CHECK_REGISTRY, true, "%s", failure_message(&failure));
        else
                set(report, CHECK_REGISTRY, false, "Projects: %zu",
                        (*ret_view)->registry->n_projects);
}

static bool directory_is_empty(const char *path) {
        _cleanup_closedir_ DIR *directory = opendir(path);
        const struct dirent *entry;

        if (!directory)
                return false;
        while ((entry = readdir(directory)))
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        return false;
        return true;
}

static void check_root(
        struct HealthReport *report, const struct Layout *layout, const struct IngestRoot *root) {
        _cleanup_free_ char *path = NULL, *top = NULL;
        char why[256];
        int r;

        r = project_root_look(root, layout, &path);
        if (!path || asprintf(&top, "%s/%s", layout->sources, root->source) < 0) {
                top = NULL;
                return;
        }
        if (r == -ENOENT)
                set(report, CHECK_SOURCES, true, "%s does not exist; is it mounted?", path);
        else if (r < 0) {
                source_unopened(-r, why, sizeof why);
                set(report, CHECK_SOURCES, true,
                        "%s %s; nothing is ingested from it, correct the registry or the sources",
                        path, why);
        } else if (directory_is_empty(top))
                set(report, CHECK_SOURCES, true, "%s is empty; is it mounted?", top);
}

/* Which of layout_source_names have documents, a bit each, and the removal that an ingest refused,
 * or NULL. Not with the sources in view: a mount that hangs would hold the store, and a restore. */
static void read_known(struct Worker *worker, unsigned *ret_sources, char **ret_refusal) {
        struct Operation operation = worker_operation(worker);
        _cleanup_store_ struct Store *store = NULL;

        /* Of a database that cannot be read, its own check says why. */
        if (store_open(&operation, SQLITE_MODE_READ, &store, NULL) < 0)
                return;
        for (size_t i = 0; layout_source_names[i]; i++)
                if (store_has_documents(store, layout_source_names[i], NULL) > 0)
                        *ret_sources |= 1u << i;
        (void) refusal_first(store_database(store), ret_refusal, NULL);
}

/* What an ingest would not remove, and somebody is to decide; and a source whose documents are
 * known must be there, whether a project is made of it or not. One that never had any may be for
 * later. */
static void check_known_sources(struct Worker *worker, struct HealthReport *report) {
        _cleanup_free_ char *refusal = NULL;
        unsigned known = 0;

        read_known(worker, &known, &refusal);
        for (size_t i = 0; layout_source_names[i]; i++) {
                const struct IngestRoot whole = { .source = (char *) layout_source_names[i],
                        .subpath = (char *) "" };

                if (known >> i & 1)
                        check_root(report, worker->daemon->layout, &whole);
        }
        if (refusal)
                set(report, CHECK_SOURCES, true, "%s", refusal);
}

/* What the projects are made of, and what documents are known of. */
static void check_sources(
        struct Worker *worker, struct HealthReport *report, const struct RegistryView *view) {
        const struct Layout *layout = worker->daemon->layout;

        for (size_t p = 0; view && p < view->registry->n_projects; p++) {
                const struct Project *project = &view->registry->projects[p];

                for (size_t i = 0; i < project->n_roots; i++)
                        check_root(report, layout, &project->roots[i]);
        }
        if (!report->checks[CHECK_DATABASE].degraded)
                check_known_sources(worker, report);
        if (access(layout->sources, R_OK | X_OK) < 0)
                set(report, CHECK_SOURCES, true, "Cannot look at %s: %m", layout->sources);
        else
                set(report, CHECK_SOURCES, false, "They are there");
}

/* A root on which there never was a snapshot is none to act on: nobody may want backups here. */
static void check_newest_snapshot(
        struct Worker *worker, struct HealthReport *report, const char *stamp, int64_t now) {
        _cleanup_json_ json_object *state = NULL;
        int64_t taken;

        if (state_load(worker->daemon->layout, stamp, &state) >= 0 && !state_valid(state, true))
                set(report, CHECK_BACKUPS, true,
                        "The newest snapshot, %s, is not valid; take another, and validate it",
                        stamp);
        else if (stamp_parse(stamp, &taken) >= 0 && now - taken > BACKUP_AGE_DAYS * DAY_SECONDS)
                set(report, CHECK_BACKUPS, true,
                        "The newest snapshot, %s, is %" PRId64
                        " days old; is atocore-backup.timer running?",
                        stamp, (now - taken) / DAY_SECONDS);
        else
                set(report, CHECK_BACKUPS, false, "The newest snapshot is %s", stamp);
}

static void check_backups(struct Worker *worker, struct HealthReport *report) {
        const struct Layout *layout = worker->daemon->layout;
        _cleanup_failure_ struct Failure failure = { 0 };
        int64_t now = clock_now(worker->daemon->clock);
        char stamp[STAMP_SIZE];

        if (access(layout->backups, W_OK | X_OK) < 0)
                set(report, CHECK_BACKUPS, true,
                        "Cannot write to %s: %m; no snapshot can be taken, is it mounted?",
                        layout->backups);
        else if (snapshot_latest(layout, now, stamp, NULL, &failure) >= 0)
                check_newest_snapshot(worker, report, stamp, now);
        else if (failure.event == EVENT_SNAPSHOT_NOT_FOUND)
                set(report, CHECK_BACKUPS, false, "There is no snapshot yet");
        else
                set(report, CHECK_BACKUPS, true, "%s", failure_message(&failure));
}

static void check_listener(const struct Daemon *daemon, struct HealthReport *report) {
        if (!daemon->exposed)
                set(report, CHECK_LISTENER, false, "On this machine only");
        else if (daemon->access->api_token)
                set(report, CHECK_LISTENER, false, "Beyond the loopback, with a token");
        else
                set(report, CHECK_LISTENER, true,
                        "It listens beyond the loopback and no api-token is set: whoever reaches "
                        "it can read everything");
}

/* What a search last met with, and where that was nothing, whether the vector store answers. */
static void check_vectors(struct Worker *worker, struct HealthReport *report) {
        struct Vectors *vectors = worker->daemon->vectors;
        struct Operation operation = worker_operation(worker);
        _cleanup_failure_ struct Failure failure = { 0 };
        _cleanup_store_ struct Store *store = NULL;
        char id[VECTOR_TOKEN_SIZE];
        uint64_t n;

        if (!vectors)
                set(report, CHECK_VECTORS, false, "%s",
                        worker->daemon->config->vector_store[0] == '\0' ? "None are configured"
                                                                        : "Not asked yet");
        else if (report->checks[CHECK_DATABASE].degraded)
                set(report, CHECK_VECTORS, false, "Not asked without a database");
        else if (store_open(&operation, SQLITE_MODE_READ, &store, &failure) < 0 ||
                vector_state_store_id(store_database(store), id, &failure) < 0 ||
                vectors_count(vectors, &operation, id, &n, &failure) < 0)
                set(report, CHECK_VECTORS, true, "%s: %s",
                        failure.code ? failure.code : event_code(failure.event),
                        failure_message(&failure));
        else
                set(report, CHECK_VECTORS, false, "Vectors: %" PRIu64, n);
}

void health_check(struct Worker *worker, struct HealthReport *ret_report) {
        _cleanup_registry_view_ struct RegistryView *view = NULL;

        *ret_report = (struct HealthReport){ 0 };
        check_database(worker, ret_report);
        check_registry(worker, ret_report, &view);
        check_sources(worker, ret_report, view);
        check_backups(worker, ret_report);
        check_listener(worker->daemon, ret_report);
        check_vectors(worker, ret_report);
}

void health_report_clear(struct HealthReport *report) {
        for (size_t i = 0; i < CHECK_COUNT_; i++)
                free(report->checks[i].detail);
        *report = (struct HealthReport){ 0 };
}

/* Telling. */

bool health_is_degraded(const struct HealthReport *report) {
        for (size_t i = 0; i < CHECK_COUNT_; i++)
                if (report->checks[i].degraded)
                        return true;
        return false;
}

char *health_summary(const struct HealthReport *report) {
        char *text = NULL;

        for (size_t i = 0; i < CHECK_COUNT_; i++) {
                _cleanup_free_ char *before = NULL;

                if (!report->checks[i].degraded)
                        continue;
                before = STEAL(text);
                if (asprintf(&text, "%s%s%s: %s", before ? before : "", before ? "; " : "",
                            check_names[i],
                            report->checks[i].detail ? report->checks[i].detail : "?") < 0)
                        return NULL;
        }
        return text ? text : strdup("everything works");
}

static json_object *check_to_json(bool degraded, const char *detail) {
        json_object *object = json_object_new_object();

        if (!object)
                return NULL;
        document_add(object, "status", json_object_new_string(degraded ? "degraded" : "ok"));
        document_add(object, "detail", document_text(detail));
        return object;
}

json_object *health_to_json(const struct HealthReport *report, const struct Daemon *daemon) {
        json_object *object = json_object_new_object();
        json_object *checks = json_object_new_object();

        if (!object || !checks) {
                (void) json_object_put(object);
                (void) json_object_put(checks);
                return NULL;
        }
        for (size_t i = 0; i < CHECK_COUNT_; i++)
                document_add(checks, check_names[i],
                        check_to_json(report->checks[i].degraded, report->checks[i].detail));
        document_add(object, "status",
                json_object_new_string(health_is_degraded(report) ? "degraded" : "ok"));
        document_add(object, "version", json_object_new_string(ATOCORE_VERSION));
        document_add(object, "uptime_seconds",
                json_object_new_uint64((monotonic_ms() - daemon->started_ms) / 1000));
        document_add(object, "checks", checks);
        return object;
}

struct HealthTold {
        char *summary;
};

int health_told_new(struct HealthTold **ret_told) {
        *ret_told = calloc(1, sizeof **ret_told);
        return *ret_told ? 0 : -ENOMEM;
}

struct HealthTold *health_told_free(struct HealthTold *told) {
        if (told)
                free(told->summary);
        free(told);
        return NULL;
}

void health_tell(struct HealthTold *told, const struct HealthReport *report) {
        _cleanup_free_ char *summary = health_summary(report);
        bool degraded = health_is_degraded(report);

        if (!summary || (told->summary && strcmp(summary, told->summary) == 0))
                return;
        if (degraded)
                event_emit(&(struct Event){ .id = EVENT_DAEMON_DEGRADED }, "Degraded: %s", summary);
        notify_status("", "%s%s", degraded ? "Degraded: " : "Serving: ", summary);
        free(told->summary);
        told->summary = STEAL(summary);
}
