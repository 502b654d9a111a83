/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/check-database.h"

#include <errno.h>
#include <stdatomic.h>

#include "lib/backup/check-report.h"
#include "lib/backup/metadata.h"
#include "lib/base/sqlite.h"
#include "lib/base/task.h"

/* The check of references, on a connection of its own. */
struct References {
        const char *path;
        atomic_bool unwanted; /* the rest of it */
        struct Task task;

        int result;
        struct Failure failure;
        uint64_t violations;
        char *table; /* of the first of them */
};

static bool is_unwanted(void *userdata) {
        struct References *references = userdata;

        return atomic_load(&references->unwanted);
}

static int check_references(struct References *references) {
        const struct Operation operation = { .cancelled = is_unwanted, .userdata = references };
        _cleanup_sqlite_ sqlite3 *db = NULL;
        int r;

        r = sqlite_open(references->path, SQLITE_MODE_IMMUTABLE, &db, &references->failure);
        return r < 0 ? r
                     : sqlite_check_foreign_keys(&operation, db, &references->violations,
                               &references->table, &references->failure);
}

static void run(void *userdata) {
        struct References *references = userdata;

        references->result = check_references(references);
}

static void references_clear(struct References *references) {
        atomic_store(&references->unwanted, true);
        task_wait(&references->task);
        failure_clear(&references->failure);
        free(references->table);
}

static int add(struct CheckReport *report, enum FindingCode code, enum FindingSeverity severity,
        const char *text, struct Failure *failure) {
        return check_report_add(report, code, severity, SNAPSHOT_DATABASE, "%s", text) < 0
                ? failure_out_of_memory(failure)
                : 0;
}

static int hand_on(const struct Failure *why, struct Failure *failure) {
        return failure_set(failure, why->event, why->error, why->path, "%s", failure_message(why));
}

static int report_references(
        struct References *references, struct CheckReport *report, struct Failure *failure) {
        const struct Failure *why = &references->failure;

        task_wait(&references->task);
        if (references->result == -ENOMEM || references->result == -EINTR)
                return hand_on(why, failure);
        if (references->result < 0)
                return add(report, FINDING_DB_FOREIGN_KEY_CHECK_FAILED, SEVERITY_WARNING,
                        failure_message(why), failure);
        if (references->violations == 0)
                return 0;
        return check_report_add(report, FINDING_DB_FOREIGN_KEY_CHECK_FAILED, SEVERITY_WARNING,
                       SNAPSHOT_DATABASE, "%ju rows without their parent, first in table %s",
                       (uintmax_t) references->violations, references->table) < 0
                ? failure_out_of_memory(failure)
                : 0;
}

int check_database(const struct Operation *operation, const char *path, struct CheckReport *report,
        struct Failure *failure) {
        _cleanup_(references_clear) struct References references = {
                .path = path,
                .task = { .run = run, .userdata = &references },
        };
        _cleanup_failure_ struct Failure why = { 0 };
        _cleanup_free_ char *problem = NULL, *unchecked = NULL;
        _cleanup_sqlite_ sqlite3 *db = NULL;
        int r;

        r = sqlite_open(path, SQLITE_MODE_IMMUTABLE, &db, &why);
        if (r < 0 && r != -EBADMSG)
                return hand_on(&why, failure);
        if (r < 0)
                return add(report, FINDING_DB_OPEN_FAILED, SEVERITY_ERROR, failure_message(&why),
                        failure);

        task_start(&references.task);
        r = sqlite_check_integrity(operation, db, &problem, &unchecked, failure);
        if (r >= 0 && problem)
                r = add(report, FINDING_DB_INTEGRITY_CHECK_FAILED, SEVERITY_ERROR, problem,
                        failure);
        if (r >= 0 && unchecked &&
                check_report_add(report, FINDING_DB_INTEGRITY_CHECK_FAILED, SEVERITY_WARNING,
                        SNAPSHOT_DATABASE, "not checked: %s", unchecked) < 0)
                r = failure_out_of_memory(failure);
        /* What a damaged table says about its references is no news. */
        if (r < 0 || problem)
                return r;
        return report_references(&references, report, failure);
}
