/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/check-report.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "lib/base/json-build.h"
#include "lib/base/json-document.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"

#define ACTION_NEW_BACKUP                                                                          \
        "do not restore it; take a new backup (systemctl start atocore-backup) and check the disk"

static const struct {
        const char *name;
        const char *action;
        const char *action_on_warning; /* NULL: the same */
} codes[] = {
        [FINDING_SNAPSHOT_DIRECTORY_MISSING] = { "snapshot_directory_missing",
                "see atocore-backup --list for the snapshots that exist" },
        [FINDING_METADATA_MISSING] = { "metadata_missing", ACTION_NEW_BACKUP },
        [FINDING_METADATA_INVALID_JSON] = { "metadata_invalid_json", ACTION_NEW_BACKUP },
        [FINDING_MANIFEST_MISSING] = { "manifest_missing",
                "nothing proves its bytes; prefer a snapshot that has one" },
        [FINDING_MANIFEST_INVALID] = { "manifest_invalid", ACTION_NEW_BACKUP },
        [FINDING_DB_SNAPSHOT_MISSING] = { "db_snapshot_missing", ACTION_NEW_BACKUP },
        [FINDING_DB_OPEN_FAILED] = { "db_open_failed", ACTION_NEW_BACKUP },
        [FINDING_DB_INTEGRITY_CHECK_FAILED] = { "db_integrity_check_failed", ACTION_NEW_BACKUP,
                "nothing is known to be wrong; check what is named with the program that made it" },
        [FINDING_DB_FOREIGN_KEY_CHECK_FAILED] = { "db_foreign_key_check_failed",
                "the copy is as the database was; repair the live one" },
        [FINDING_REGISTRY_SNAPSHOT_MISSING] = { "registry_snapshot_missing", ACTION_NEW_BACKUP },
        [FINDING_REGISTRY_INVALID_JSON] = { "registry_invalid_json", ACTION_NEW_BACKUP },
        [FINDING_CHROMA_SNAPSHOT_MISSING] = { "chroma_snapshot_missing", ACTION_NEW_BACKUP },
        [FINDING_CHECKSUM_MISMATCH] = { "checksum_mismatch", ACTION_NEW_BACKUP },
        [FINDING_FILE_MISSING] = { "file_missing", ACTION_NEW_BACKUP },
        [FINDING_FILE_UNEXPECTED] = { "file_unexpected",
                "find out who wrote into the snapshot, and take the file out of it" },
        [FINDING_ARCHIVE_INVALID] = { "archive_invalid",
                "do not unpack it; make another archive (atocore-backup --archive)" },
};

static const char *action_of(enum FindingCode code, enum FindingSeverity severity) {
        const char *on_warning = codes[code].action_on_warning;

        return severity == SEVERITY_WARNING && on_warning ? on_warning : codes[code].action;
}

const char *finding_code_name(enum FindingCode code) {
        return codes[code].name;
}

char *finding_text(const struct Finding *finding) {
        _cleanup_free_ char *text = NULL;

        if (asprintf(&text, "%s%s%s%s%s", finding_code_name(finding->code),
                    finding->path ? ": " : "", finding->path ? finding->path : "",
                    finding->detail ? ": " : "", finding->detail ? finding->detail : "") < 0) {
                text = NULL;
                return NULL;
        }
        return text_escape(text); /* names of files may be anything */
}

struct CheckReport *check_report_new(const char *stamp) {
        struct CheckReport *report = calloc(1, sizeof *report);

        if (!report)
                return NULL;
        (void) snprintf(report->stamp, sizeof report->stamp, "%s", stamp);
        report->valid = true;
        return report;
}

struct CheckReport *check_report_free(struct CheckReport *report) {
        if (!report)
                return NULL;
        for (size_t i = 0; i < report->n_findings; i++) {
                free(report->findings[i].path);
                free(report->findings[i].detail);
        }
        free(report->findings);
        free(report);
        return NULL;
}

int check_report_add(struct CheckReport *report, enum FindingCode code,
        enum FindingSeverity severity, const char *path, const char *format, ...) {
        _cleanup_free_ char *own_path = NULL, *detail = NULL;
        struct Finding *grown;

        if (path) {
                own_path = strdup(path);
                if (!own_path)
                        return -ENOMEM;
        }
        if (format) {
                va_list arguments;
                int length;

                va_start(arguments, format);
                length = vasprintf(&detail, format, arguments);
                va_end(arguments);
                if (length < 0) {
                        detail = NULL;
                        return -ENOMEM;
                }
        }
        if ((report->n_findings & (report->n_findings + 1)) == 0) { /* 0, 1, 3, 7, …: full */
                grown = reallocarray(
                        report->findings, 2 * report->n_findings + 1, sizeof *report->findings);
                if (!grown)
                        return -ENOMEM;
                report->findings = grown;
        }
        report->findings[report->n_findings++] = (struct Finding){
                .code = code,
                .severity = severity,
                .path = STEAL(own_path),
                .detail = STEAL(detail),
                .action = action_of(code, severity),
        };
        if (severity == SEVERITY_ERROR)
                report->valid = false;
        return 0;
}

static int compare(const void *left, const void *right) {
        const struct Finding *a = left, *b = right;
        int order;

        if (a->severity != b->severity)
                return a->severity < b->severity ? -1 : 1;
        order = strcmp(a->path ? a->path : "", b->path ? b->path : "");
        if (order != 0)
                return order;
        return a->code < b->code ? -1 : a->code > b->code;
}

void check_report_sort(struct CheckReport *report) {
        if (report->n_findings > 1)
                qsort(report->findings, report->n_findings, sizeof *report->findings, compare);
}

bool check_report_has(const struct CheckReport *report, enum FindingCode code) {
        for (size_t i = 0; i < report->n_findings; i++)
                if (report->findings[i].code == code)
                        return true;
        return false;
}

/* The texts of all findings of one severity. */
static json_object *texts(const struct CheckReport *report, enum FindingSeverity severity) {
        _cleanup_json_ json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < report->n_findings; i++) {
                _cleanup_free_ char *text = NULL;

                if (report->findings[i].severity != severity)
                        continue;
                text = finding_text(&report->findings[i]);
                if (!text || !json_append(array, json_object_new_string(text)))
                        return NULL;
        }
        return STEAL(array);
}

/* As it is where JSON can say it; takes NULL for null. */
static bool set_text(json_object *object, const char *key, const char *text) {
        _cleanup_free_ char *escaped = NULL;

        if (!text)
                return json_object_object_add(object, key, NULL) == 0;
        if (!utf8_is_valid(text, strlen(text))) {
                escaped = text_escape(text);
                if (!escaped)
                        return false;
                text = escaped;
        }
        return json_set(object, key, json_object_new_string(text));
}

static json_object *finding_to_json(const struct Finding *finding) {
        _cleanup_json_ json_object *object = json_object_new_object();

        if (!object || !set_text(object, "code", finding_code_name(finding->code)) ||
                !set_text(object, "severity",
                        finding->severity == SEVERITY_ERROR ? "error" : "warning") ||
                !set_text(object, "path", finding->path) ||
                !set_text(object, "detail", finding->detail) ||
                !set_text(object, "action", finding->action))
                return NULL;
        return STEAL(object);
}

static json_object *findings_to_json(const struct CheckReport *report) {
        _cleanup_json_ json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < report->n_findings; i++)
                if (!json_append(array, finding_to_json(&report->findings[i])))
                        return NULL;
        return STEAL(array);
}

json_object *check_report_verdict(const struct CheckReport *report, int64_t now) {
        _cleanup_json_ json_object *object = json_object_new_object();
        char at[RFC3339_SIZE];

        rfc3339_format(now, at);
        if (!object || !json_set(object, "valid", json_object_new_boolean(report->valid)) ||
                !json_set(object, "validated_at", json_object_new_string(at)) ||
                !json_set(object, "errors", texts(report, SEVERITY_ERROR)))
                return NULL;
        return STEAL(object);
}

json_object *check_report_to_json(const struct CheckReport *report) {
        _cleanup_json_ json_object *object = json_object_new_object();

        if (!object || !json_set(object, "stamp", json_object_new_string(report->stamp)) ||
                !json_set(object, "valid", json_object_new_boolean(report->valid)) ||
                !json_set(object, "errors", texts(report, SEVERITY_ERROR)) ||
                !json_set(object, "warnings", texts(report, SEVERITY_WARNING)) ||
                !json_set(object, "findings", findings_to_json(report)) ||
                !json_set(object, "files", json_object_new_uint64(report->files)) ||
                !json_set(object, "bytes", json_object_new_uint64(report->bytes)) ||
                !json_set(object, "duration_ms", json_object_new_uint64(report->duration_ms)))
                return NULL;
        return STEAL(object);
}
