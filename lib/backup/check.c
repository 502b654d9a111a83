/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/check-database.h"
#include "lib/backup/check-report.h"
#include "lib/backup/digest-job.h"
#include "lib/backup/manifest.h"
#include "lib/backup/metadata.h"
#include "lib/backup/state.h"
#include "lib/base/file-io.h"
#include "lib/base/lock.h"

/* One run over one directory. */
struct Check {
        const struct Operation *operation;
        const char *path; /* of the directory */
        const char *copy; /* of its database, to be looked at instead; NULL: none */
        int dir_fd;
        struct CheckReport *report;
        struct Failure *failure;

        struct json_object *metadata; /* NULL when it cannot be read */
        struct Manifest *manifest;    /* NULL when there is none to go by */
        bool *seen;                   /* one per manifest entry */
        bool database_found;
        struct DigestJob database; /* the largest file, hashed beside its integrity check */
};

static void check_clear(struct Check *check) {
        (void) digest_job_wait(&check->database);
        if (check->metadata)
                json_object_put(check->metadata);
        manifest_free(check->manifest);
        free(check->seen);
        if (check->dir_fd >= 0)
                (void) close(check->dir_fd);
}

/* Adds the finding, or fails the check for want of memory. */
#define FIND(check, code, severity, path, ...)                                                     \
        (check_report_add((check)->report, code, severity, path, __VA_ARGS__) < 0                  \
                        ? failure_out_of_memory((check)->failure)                                  \
                        : 0)

/* What keeps us from reading says nothing of the snapshot. */
static bool is_our_problem(int error) {
        return error == EACCES || error == EPERM || error == EMFILE || error == ENFILE ||
                error == ENOMEM;
}

/* `path` is relative to the snapshot, "" for itself. */
static int cannot_tell(const struct Check *check, int error, const char *path) {
        return failure_set_read_at(check->failure, error, check->path, path, "read");
}

static bool is_regular(const struct Check *check, const char *path) {
        struct stat st;

        return fstatat(check->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISREG(st.st_mode);
}

static int check_metadata(struct Check *check) {
        const char *problem = NULL;
        int r;

        r = metadata_read(check->dir_fd, &check->metadata, &problem);
        if (r < 0 && is_our_problem(-r))
                return cannot_tell(check, -r, METADATA_NAME);
        if (r == -ENOENT)
                return FIND(check, FINDING_METADATA_MISSING, SEVERITY_ERROR, METADATA_NAME, NULL);
        if (r < 0)
                return FIND(check, FINDING_METADATA_INVALID_JSON, SEVERITY_ERROR, METADATA_NAME,
                        "%s", problem ? problem : strerror(-r));
        return 0;
}

static int check_manifest(struct Check *check) {
        _cleanup_free_ char *text = NULL;
        const char *problem = NULL;
        size_t size;
        int r;

        r = read_file_at(check->dir_fd, MANIFEST_NAME, MANIFEST_MAX, &text, &size);
        if (r == -ENOENT) {
                /* The earlier implementation wrote none. Metadata that cannot be read does not tell
                 * who made the snapshot, and is an error anyway. */
                bool ours = !check->metadata || metadata_is_ours(check->metadata);
                return FIND(check, FINDING_MANIFEST_MISSING,
                        ours ? SEVERITY_ERROR : SEVERITY_WARNING, MANIFEST_NAME,
                        ours ? NULL : "made by an earlier implementation");
        }
        if (r < 0 && is_our_problem(-r))
                return cannot_tell(check, -r, MANIFEST_NAME);
        if (r < 0)
                return FIND(check, FINDING_MANIFEST_INVALID, SEVERITY_ERROR, MANIFEST_NAME, "%s",
                        strerror(-r));
        r = manifest_parse(text, size, &check->manifest, &problem);
        if (r == -EBADMSG)
                return FIND(check, FINDING_MANIFEST_INVALID, SEVERITY_ERROR, MANIFEST_NAME, "%s",
                        problem);
        if (r < 0)
                return failure_out_of_memory(check->failure);
        check->seen = calloc(check->manifest->n_entries + 1, sizeof *check->seen);
        return check->seen ? 0 : failure_out_of_memory(check->failure);
}

/* Compares what was read of a listed file with what the manifest says. */
static int compare_digest(
        struct Check *check, const struct ManifestEntry *entry, int result, const char *digest) {
        if (result < 0 && is_our_problem(-result))
                return cannot_tell(check, -result, entry->path);
        if (result < 0)
                return FIND(check, FINDING_CHECKSUM_MISMATCH, SEVERITY_ERROR, entry->path,
                        "cannot be read: %s", strerror(-result));
        if (strcmp(digest, entry->digest) != 0)
                return FIND(check, FINDING_CHECKSUM_MISMATCH, SEVERITY_ERROR, entry->path,
                        "SHA-256 is %.12s…, was %.12s…", digest, entry->digest);
        return 0;
}

static int check_file(struct Check *check, const char *path, const struct stat *st) {
        const struct ManifestEntry *entry;
        _cleanup_close_ int fd = -1;
        char digest[DIGEST_HEX_SIZE] = "";
        int r;

        if (strcmp(path, MANIFEST_NAME) == 0 && S_ISREG(st->st_mode))
                return 0;
        if (!check->manifest)
                return 0;
        if (!S_ISREG(st->st_mode))
                return FIND(check, FINDING_FILE_UNEXPECTED, SEVERITY_ERROR, path,
                        "neither file nor directory");
        entry = manifest_find(check->manifest, path);
        if (!entry)
                return FIND(check, FINDING_FILE_UNEXPECTED, SEVERITY_ERROR, path,
                        "not listed in " MANIFEST_NAME);
        check->seen[entry - check->manifest->entries] = true;
        check->report->files++;
        check->report->bytes += (uint64_t) st->st_size;
        if (strcmp(path, SNAPSHOT_DATABASE) == 0)
                return 0; /* its digest is on its way */

        fd = openat(check->dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        r = fd < 0 ? -errno : digest_fd(fd, digest, NULL);
        return compare_digest(check, entry, r, digest);
}

static int check_tree(struct Check *check, const char *directory) {
        _cleanup_closedir_ DIR *stream = NULL;
        _cleanup_close_ int fd = openat(check->dir_fd, directory[0] ? directory : ".",
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r;

        if (fd >= 0)
                stream = fdopendir(fd);
        if (!stream)
                return cannot_tell(check, errno, directory);
        fd = -1; /* the stream has it now */

        for (;;) {
                _cleanup_free_ char *path = NULL;
                struct dirent *entry;
                struct stat st;

                errno = 0;
                entry = readdir(stream);
                if (!entry && errno != 0)
                        return cannot_tell(check, errno, directory);
                if (!entry)
                        return 0;
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                r = operation_check(check->operation, check->failure);
                if (r < 0)
                        return r;
                if (asprintf(&path, "%s%s%s", directory, directory[0] ? "/" : "", entry->d_name) <
                        0) {
                        path = NULL;
                        return failure_out_of_memory(check->failure);
                }
                if (fstatat(check->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return cannot_tell(check, errno, path);
                r = S_ISDIR(st.st_mode) ? check_tree(check, path) : check_file(check, path, &st);
                if (r < 0)
                        return r;
        }
}

/* What the manifest lists and the tree has not. The database has a finding of its own. */
static int check_missing(struct Check *check) {
        for (size_t i = 0; check->manifest && i < check->manifest->n_entries; i++) {
                const char *path = check->manifest->entries[i].path;
                int r;

                if (check->seen[i] || strcmp(path, SNAPSHOT_DATABASE) == 0)
                        continue;
                r = FIND(check, FINDING_FILE_MISSING, SEVERITY_ERROR, path,
                        "listed in " MANIFEST_NAME);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_database_file(struct Check *check) {
        _cleanup_failure_ struct Failure why = { 0 };
        _cleanup_free_ char *path = NULL;
        const struct ManifestEntry *entry;
        int r;

        if (!check->database_found)
                return FIND(check, FINDING_DB_SNAPSHOT_MISSING, SEVERITY_ERROR, SNAPSHOT_DATABASE,
                        NULL);
        if (asprintf(&path, "%s/%s", check->path, SNAPSHOT_DATABASE) < 0) {
                path = NULL;
                return failure_out_of_memory(check->failure);
        }
        r = check_database(check->operation, check->copy ? check->copy : path, check->report, &why);
        if (r < 0 && r != -EINTR && !is_our_problem(-r)) /* a bad sector is damage like any other */
                r = FIND(check, FINDING_DB_INTEGRITY_CHECK_FAILED, SEVERITY_ERROR,
                        SNAPSHOT_DATABASE, "%s", failure_message(&why));
        else if (r < 0)
                r = failure_set(check->failure, why.event, why.error, why.path, "%s",
                        failure_message(&why));
        if (r < 0)
                return r;
        entry = check->manifest ? manifest_find(check->manifest, SNAPSHOT_DATABASE) : NULL;
        if (!entry)
                return 0;
        r = digest_job_wait(&check->database);
        return compare_digest(check, entry, r, check->database.digest);
}

static int check_registry(struct Check *check) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_file_at(check->dir_fd, SNAPSHOT_REGISTRY, REGISTRY_MAX, &text, &size);
        if (r == -ENOENT) {
                if (!check->metadata || !metadata_has(check->metadata, "registry_snapshot_path"))
                        return 0;
                return FIND(check, FINDING_REGISTRY_SNAPSHOT_MISSING, SEVERITY_ERROR,
                        SNAPSHOT_REGISTRY, NULL);
        }
        if (r < 0 && is_our_problem(-r))
                return cannot_tell(check, -r, SNAPSHOT_REGISTRY);
        if (r < 0)
                return FIND(check, FINDING_REGISTRY_INVALID_JSON, SEVERITY_ERROR, SNAPSHOT_REGISTRY,
                        "%s", strerror(-r));
        if (!json_text_is_valid(text, size))
                return FIND(check, FINDING_REGISTRY_INVALID_JSON, SEVERITY_ERROR, SNAPSHOT_REGISTRY,
                        NULL);
        return 0;
}

static int check_vector_store(struct Check *check) {
        struct stat st;

        if (!check->metadata || !metadata_is_true(check->metadata, "chroma_snapshot_included"))
                return 0;
        if (fstatat(check->dir_fd, SNAPSHOT_CHROMA, &st, AT_SYMLINK_NOFOLLOW) >= 0 &&
                S_ISDIR(st.st_mode))
                return 0;
        return FIND(check, FINDING_CHROMA_SNAPSHOT_MISSING, SEVERITY_ERROR, SNAPSHOT_CHROMA, NULL);
}

static int run_checks(struct Check *check) {
        int r;

        r = check_metadata(check);
        if (r < 0)
                return r;
        r = check_manifest(check);
        if (r < 0)
                return r;

        check->database_found = is_regular(check, SNAPSHOT_DATABASE);
        if (check->database_found && check->manifest) {
                check->database.dir_fd = check->copy ? AT_FDCWD : check->dir_fd;
                check->database.path = check->copy ? check->copy : SNAPSHOT_DATABASE;
                check->database.sync = check->copy != NULL;
                digest_job_start(&check->database);
        }
        r = check_database_file(check);
        if (r < 0)
                return r;
        r = check_tree(check, "");
        if (r < 0)
                return r;
        r = check_missing(check);
        if (r < 0)
                return r;
        r = check_registry(check);
        if (r < 0)
                return r;
        return check_vector_store(check);
}

static int check_at(const struct Operation *operation, const char *path, const char *stamp,
        const char *copy, struct CheckReport **ret_report, struct Failure *failure) {
        _cleanup_check_report_ struct CheckReport *report = NULL;
        _cleanup_(check_clear) struct Check check = {
                .operation = operation,
                .path = path,
                .copy = copy,
                .dir_fd = -1,
                .failure = failure,
                .database = DIGEST_JOB_INIT,
        };
        uint64_t started = monotonic_ms();
        int r;

        report = check_report_new(stamp);
        if (!report)
                return failure_out_of_memory(failure);
        check.report = report;

        check.dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (check.dir_fd >= 0)
                r = run_checks(&check);
        else if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
                r = FIND(&check, FINDING_SNAPSHOT_DIRECTORY_MISSING, SEVERITY_ERROR, NULL, "%s",
                        path);
        else
                r = failure_set_read(failure, errno, path, "open");
        if (r < 0) {
                failure_set_stamp(failure, stamp);
                return r;
        }
        check_report_sort(report);
        report->duration_ms = monotonic_ms() - started;
        *ret_report = STEAL(report);
        return 0;
}

int check_directory(const struct Operation *operation, const char *path, const char *stamp,
        struct CheckReport **ret_report, struct Failure *failure) {
        return check_at(operation, path, stamp, NULL, ret_report, failure);
}

/* Best effort: the verdict is a convenience of /stats and retention; the snapshot may be on media
 * that cannot be written. */
static void save_verdict(const struct Operation *operation, const struct CheckReport *report) {
        _cleanup_failure_ struct Failure failure = { 0 };
        struct json_object *validation = check_report_verdict(report, clock_now(operation->clock));
        int r = -ENOMEM;

        if (validation) {
                r = state_set_validation(operation->layout, report->stamp, validation, &failure);
                json_object_put(validation);
        }
        if (r < 0 && failure.error != EROFS) {
                struct Event event = { .id = EVENT_STATE_NOT_SAVED,
                        .stamp = report->stamp,
                        .path = failure.path,
                        .error = failure.error };
                operation_notice(operation, &event,
                        "The verdict on snapshot %s could not be kept: %s", report->stamp,
                        failure_message(&failure));
        }
}

static int check_locked(const struct Operation *operation, const char *stamp, const char *copy,
        struct CheckReport **ret_report, struct Failure *failure) {
        _cleanup_lock_ struct Lock *lock = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        if (!stamp_is_valid(stamp))
                return failure_set(failure, EVENT_STAMP_INVALID, EINVAL, NULL,
                        "\"%s\" is no stamp; stamps look like 20260407T060000Z", stamp);
        if (asprintf(&path, "%s/%s", operation->layout->snapshots, stamp) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        r = lock_acquire_backups(operation, LOCK_MODE_SHARED, &lock, failure);
        return r < 0 ? r : check_at(operation, path, stamp, copy, ret_report, failure);
}

int check_snapshot(const struct Operation *operation, const char *stamp,
        struct CheckReport **ret_report, struct Failure *failure) {
        _cleanup_check_report_ struct CheckReport *report = NULL;
        int r;

        r = check_locked(operation, stamp, NULL, &report, failure);
        if (r < 0)
                return r;
        if (!check_report_has(report, FINDING_SNAPSHOT_DIRECTORY_MISSING))
                save_verdict(operation, report);
        *ret_report = STEAL(report);
        return 0;
}

int check_snapshot_by_copy(const struct Operation *operation, const char *stamp, const char *copy,
        struct CheckReport **ret_report, struct Failure *failure) {
        _cleanup_check_report_ struct CheckReport *report = NULL, *own = NULL;
        int r;

        r = check_locked(operation, stamp, copy, &report, failure);
        if (r < 0)
                return r;
        if (report->valid)
                save_verdict(operation, report);
        else {
                r = check_snapshot(operation, stamp, &own, failure);
                if (r >= 0 && own->valid)
                        r = failure_set(failure, EVENT_IO_ERROR, EIO, copy,
                                "%s is not what snapshot %s holds, and that is good: %m; check "
                                "memory, disk and kernel log",
                                copy, stamp);
                if (r < 0)
                        return r;
        }
        *ret_report = own ? STEAL(own) : STEAL(report);
        return 0;
}
