/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What an operator should know: whether each part can do its work. A check is degraded when there
 * is something that somebody should act on, and its detail says what.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "daemon/worker.h"

enum HealthCheck {
        CHECK_DATABASE,
        CHECK_REGISTRY,
        CHECK_SOURCES,
        CHECK_BACKUPS,
        CHECK_LISTENER,
        CHECK_VECTORS,
        CHECK_COUNT_,
};

struct HealthReport {
        struct {
                bool degraded;
                char *detail; /* NULL: memory ran out */
        } checks[CHECK_COUNT_];
};

/* Looks at everything; opens what it must and closes it again. */
void health_check(struct Worker *worker, struct HealthReport *ret_report);
void health_report_clear(struct HealthReport *report);
#define _cleanup_health_report_ _cleanup_(health_report_clear)

bool health_is_degraded(const struct HealthReport *report);
/* "backups: …; sources: …" of the degraded checks, or "everything works"; caller frees. */
char *health_summary(const struct HealthReport *report);
/* The document of GET /health; NULL when memory ran out. */
json_object *health_to_json(const struct HealthReport *report, const struct Daemon *daemon);

/* What was told last, so that a change is told once: DAEMON_DEGRADED, and the unit's STATUS=. Used
 * by one thread at a time. */
struct HealthTold;

int health_told_new(struct HealthTold **ret_told); /* -ENOMEM */
struct HealthTold *health_told_free(struct HealthTold *told);
DEFINE_POINTER_CLEANUP(struct HealthTold *, health_told_free)
void health_tell(struct HealthTold *told, const struct HealthReport *report);
