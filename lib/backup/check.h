/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Is a snapshot what it was when it was made? All that is wrong is reported, not the first thing;
 * nothing in the snapshot is changed.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/operation.h"

enum FindingCode {
        FINDING_SNAPSHOT_DIRECTORY_MISSING,
        FINDING_METADATA_MISSING,
        FINDING_METADATA_INVALID_JSON,
        FINDING_MANIFEST_MISSING,
        FINDING_MANIFEST_INVALID,
        FINDING_DB_SNAPSHOT_MISSING,
        FINDING_DB_OPEN_FAILED,
        FINDING_DB_INTEGRITY_CHECK_FAILED,
        FINDING_DB_FOREIGN_KEY_CHECK_FAILED,
        FINDING_REGISTRY_SNAPSHOT_MISSING,
        FINDING_REGISTRY_INVALID_JSON,
        FINDING_CHROMA_SNAPSHOT_MISSING,
        FINDING_CHECKSUM_MISMATCH,
        FINDING_FILE_MISSING,
        FINDING_FILE_UNEXPECTED,
        FINDING_ARCHIVE_INVALID,
        FINDING_CODE_COUNT_,
};

enum FindingSeverity {
        SEVERITY_ERROR,
        SEVERITY_WARNING,
};

struct Finding {
        enum FindingCode code;
        enum FindingSeverity severity;
        char *path;         /* relative to the snapshot, or NULL for the snapshot itself */
        char *detail;       /* maybe NULL */
        const char *action; /* what to do about it; static */
};

struct CheckReport {
        char stamp[STAMP_SIZE];
        bool valid;               /* no finding of SEVERITY_ERROR */
        struct Finding *findings; /* by path, errors before warnings */
        size_t n_findings;
        uint64_t files;
        uint64_t bytes;
        uint64_t duration_ms;
};

const char *finding_code_name(enum FindingCode code); /* "checksum_mismatch" */
/* "code: path: detail" on one line, escaped; caller frees; NULL when memory ran out. */
char *finding_text(const struct Finding *finding);

/* Checks backups/snapshots/<stamp> under the shared backups lock and keeps the verdict in
 * backups/state/ (best effort: STATE_NOT_SAVED by operation->notice). A directory that is missing
 * is a finding, not a failure, and so is a file that the disk does not give back. A failure means
 * that it could not be told: LOCK_BUSY, PERMISSION_DENIED, READ_FAILED, OUT_OF_MEMORY, INTERRUPTED,
 * STAMP_INVALID. */
int check_snapshot(const struct Operation *operation, const char *stamp,
        struct CheckReport **ret_report, struct Failure *failure);

/* The same, but the bytes of the database are looked at in its copy, the file `copy`, which is
 * written to disk on the way: what is to be live is read once, and proven once. The verdict is that
 * on the snapshot: where the copy is not like it, the snapshot itself is looked at, and IO_ERROR
 * says so when that is good. */
int check_snapshot_by_copy(const struct Operation *operation, const char *stamp, const char *copy,
        struct CheckReport **ret_report, struct Failure *failure);

/* The same for any directory laid out like a snapshot, without lock and state: a staging directory,
 * a safety snapshot. `stamp` is for the report only and may be "". */
int check_directory(const struct Operation *operation, const char *path, const char *stamp,
        struct CheckReport **ret_report, struct Failure *failure);

struct CheckReport *check_report_free(struct CheckReport *report);
DEFINE_POINTER_CLEANUP(struct CheckReport *, check_report_free)
#define _cleanup_check_report_ _cleanup_(check_report_freep)

/* {"stamp","valid","errors","warnings","findings","files","bytes","duration_ms"}; NULL when memory
 * ran out. */
struct json_object *check_report_to_json(const struct CheckReport *report);
