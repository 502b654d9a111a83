/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/archive-check.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/check-report.h"
#include "lib/backup/manifest.h"
#include "lib/backup/metadata.h"
#include "lib/base/file-io.h"

#define BUFFER_SIZE ((size_t) 256 << 10)

struct ArchiveCheck {
        const struct Operation *operation;
        struct Failure *failure;
        const char *path;
        int fd;
        uint64_t size; /* of the archive */
        struct archive *reader;
        struct CheckReport *report;
        struct Manifest *manifest;
        size_t next; /* entry of the manifest that is to come */
        char *buffer;
        bool done; /* what is behind cannot be told or is not worth it */
};

static void archive_check_clear(struct ArchiveCheck *check) {
        if (check->reader)
                (void) archive_read_free(check->reader);
        manifest_free(check->manifest);
        free(check->buffer);
        if (check->fd >= 0)
                (void) close(check->fd);
}

#define FIND(check, code, path, ...)                                                               \
        (check_report_add((check)->report, code, SEVERITY_ERROR, path, __VA_ARGS__) < 0            \
                        ? failure_out_of_memory((check)->failure)                                  \
                        : 0)

bool archive_is_name(const char *text) {
        static const char *const suffixes[] = { ".tar", ".tar.zst", ".tar.gz" };
        size_t length = strlen(text);

        for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
                size_t n = strlen(suffixes[i]);

                if (length > n && strcmp(text + length - n, suffixes[i]) == 0)
                        return true;
        }
        return false;
}

/* No such archive: nothing that comes behind is looked at. */
static int invalid(struct ArchiveCheck *check, const char *path, const char *problem) {
        check->done = true;
        return FIND(check, FINDING_ARCHIVE_INVALID, path, "%s", problem);
}

/* What libarchive did not take. */
static int unreadable(struct ArchiveCheck *check, const char *path) {
        const char *text = archive_error_string(check->reader);

        if (archive_errno(check->reader) == ENOMEM)
                return failure_out_of_memory(check->failure);
        return invalid(check, path, text ? text : "cannot be read");
}

static int open_reader(struct ArchiveCheck *check) {
        struct archive *reader = check->reader = archive_read_new();

        if (!reader)
                return failure_out_of_memory(check->failure);
        /* These and no others: what else libarchive knows is so much more that could go wrong. */
        if (archive_read_support_filter_zstd(reader) != ARCHIVE_OK ||
                archive_read_support_filter_gzip(reader) != ARCHIVE_OK ||
                archive_read_support_format_tar(reader) != ARCHIVE_OK)
                return failure_set(check->failure, EVENT_INTERNAL_ERROR, ENOTSUP, check->path,
                        "libarchive here cannot read tar, gzip and zstd: %s",
                        archive_error_string(reader));
        if (archive_read_open_fd(reader, check->fd, BUFFER_SIZE) != ARCHIVE_OK)
                return unreadable(check, NULL);
        return 0;
}

static void show_progress(struct ArchiveCheck *check) {
        la_int64_t read = archive_filter_bytes(check->reader, -1);

        operation_progress(check->operation, "Validating the archive, bytes",
                read > 0 ? (uint64_t) read : 0, check->size);
}

/* The next block of an entry: its size, 0 at the end, -EBADMSG with a finding, or a failure. */
static ssize_t read_block(struct ArchiveCheck *check, const char *path) {
        la_ssize_t n;
        int r = operation_check(check->operation, check->failure);

        if (r < 0)
                return r;
        show_progress(check);
        n = archive_read_data(check->reader, check->buffer, BUFFER_SIZE);
        if (n >= 0)
                return (ssize_t) n;
        r = unreadable(check, path);
        return r < 0 ? r : -EBADMSG;
}

/* All of a small entry, with a NUL behind it. -EBADMSG with a finding. */
static int read_text(struct ArchiveCheck *check, const char *path, size_t max, char **ret_text,
        size_t *ret_size) {
        _cleanup_free_ char *text = strdup("");
        size_t size = 0;

        for (;;) {
                ssize_t n = read_block(check, path);
                char *grown;

                if (n < 0)
                        return (int) n;
                if (n == 0)
                        break;
                if ((size_t) n > max - size) {
                        int r = invalid(check, path, "is larger than such a file can be");
                        return r < 0 ? r : -EBADMSG;
                }
                grown = realloc(text, size + (size_t) n + 1);
                if (!grown)
                        return failure_out_of_memory(check->failure);
                text = grown;
                memcpy(text + size, check->buffer, (size_t) n);
                size += (size_t) n;
                text[size] = '\0';
        }
        if (!text)
                return failure_out_of_memory(check->failure);
        *ret_text = STEAL(text);
        *ret_size = size;
        return 0;
}

/* "<stamp>/SHA256SUMS" first: it says what is to come, and names the snapshot. */
static int take_manifest(struct ArchiveCheck *check, const char *name) {
        _cleanup_free_ char *text = NULL;
        char stamp[STAMP_SIZE] = "";
        const char *problem = NULL;
        size_t size = 0;
        int r;

        memcpy(stamp, name, strnlen(name, STAMP_SIZE - 1));
        if (!stamp_is_valid(stamp) || strcmp(name + STAMP_SIZE - 1, "/" MANIFEST_NAME) != 0)
                return invalid(check, name, "STAMP/" MANIFEST_NAME " must come first");
        memcpy(check->report->stamp, stamp, STAMP_SIZE);
        r = read_text(check, MANIFEST_NAME, MANIFEST_MAX, &text, &size);
        if (r < 0)
                return r;
        r = manifest_parse(text, size, &check->manifest, &problem);
        if (r == -ENOMEM)
                return failure_out_of_memory(check->failure);
        if (r < 0) {
                check->done = true;
                return FIND(check, FINDING_MANIFEST_INVALID, MANIFEST_NAME, "%s", problem);
        }
        if (!manifest_find(check->manifest, METADATA_NAME)) {
                r = FIND(check, FINDING_METADATA_MISSING, METADATA_NAME, NULL);
                if (r < 0)
                        return r;
        }
        if (!manifest_find(check->manifest, SNAPSHOT_DATABASE))
                return FIND(check, FINDING_DB_SNAPSHOT_MISSING, SNAPSHOT_DATABASE, NULL);
        return 0;
}

static int compare_digest(
        struct ArchiveCheck *check, const struct ManifestEntry *entry, const char *digest) {
        if (strcmp(digest, entry->digest) == 0)
                return 0;
        return FIND(check, FINDING_CHECKSUM_MISMATCH, entry->path, "SHA-256 is %.12s…, was %.12s…",
                digest, entry->digest);
}

static int check_content(struct ArchiveCheck *check, const struct ManifestEntry *entry) {
        _cleanup_digest_ struct Digest *digest = NULL;
        char hex[DIGEST_HEX_SIZE];

        if (digest_new(&digest) < 0)
                return failure_out_of_memory(check->failure);
        for (;;) {
                ssize_t n = read_block(check, entry->path);

                if (n < 0)
                        return (int) n;
                if (n == 0)
                        break;
                check->report->bytes += (uint64_t) n;
                if (digest_update(digest, check->buffer, (size_t) n) < 0)
                        return failure_out_of_memory(check->failure);
        }
        if (digest_finish(digest, hex) < 0)
                return failure_out_of_memory(check->failure);
        check->report->files++;
        return compare_digest(check, entry, hex);
}

/* Those that should have come before this one. */
static int find_missing(struct ArchiveCheck *check, size_t until) {
        for (; check->next < until; check->next++) {
                int r = FIND(check, FINDING_FILE_MISSING,
                        check->manifest->entries[check->next].path, "listed in " MANIFEST_NAME);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* One of the files. Where it is not the next one of the manifest the archive was not made by us, or
 * was changed since: a name that comes twice would be unpacked over the first. */
static int take_file(struct ArchiveCheck *check, const char *name) {
        const struct ManifestEntry *entry = NULL;
        size_t index;
        int r;

        if (strncmp(name, check->report->stamp, STAMP_SIZE - 1) == 0 && name[STAMP_SIZE - 1] == '/')
                entry = manifest_find(check->manifest, name + STAMP_SIZE);
        if (!entry) {
                check->done = true;
                return FIND(check, FINDING_FILE_UNEXPECTED, name, "not listed in " MANIFEST_NAME);
        }
        index = (size_t) (entry - check->manifest->entries);
        if (index < check->next)
                return invalid(check, name, "comes twice, or out of order");
        r = find_missing(check, index);
        if (r < 0)
                return r;
        check->next = index + 1;
        return check_content(check, entry);
}

static int take_entry(struct ArchiveCheck *check, struct archive_entry *entry) {
        const char *name = archive_entry_pathname(entry);

        if (!name)
                return invalid(check, NULL, "an entry has no name");
        if (archive_entry_hardlink(entry) || archive_entry_symlink(entry) ||
                archive_entry_filetype(entry) != AE_IFREG)
                return invalid(check, name, "is no plain file");
        if (archive_entry_sparse_count(entry) > 0)
                return invalid(check, name, "is a sparse file");
        return check->manifest ? take_file(check, name) : take_manifest(check, name);
}

/* libarchive is content where a tar ends at the end of the file, and leaves alone what is behind
 * its end: the filter must have come to an end of its own, and all of the file have been read. */
static int check_end(struct ArchiveCheck *check) {
        la_int64_t at = archive_filter_bytes(check->reader, -1);

        if (!check->manifest)
                return invalid(check, NULL, "it holds nothing");
        check->done = true;
        if (at >= 0 && (uint64_t) at < check->size) {
                int r = FIND(check, FINDING_ARCHIVE_INVALID, NULL, "there is more behind its end");

                if (r < 0)
                        return r;
        }
        return find_missing(check, check->manifest->n_entries);
}

static int stream(struct ArchiveCheck *check) {
        int r = open_reader(check);

        while (r >= 0 && !check->done) {
                struct archive_entry *entry;

                r = operation_check(check->operation, check->failure);
                if (r < 0)
                        return r;
                switch (archive_read_next_header(check->reader, &entry)) {
                case ARCHIVE_OK:
                case ARCHIVE_WARN: /* of a name's characters: it is compared as bytes */
                        r = take_entry(check, entry);
                        if (r == -EBADMSG && !failure_is_set(check->failure))
                                r = 0; /* a finding says why */
                        break;
                case ARCHIVE_EOF:
                        r = check_end(check);
                        break;
                default:
                        r = unreadable(check, NULL);
                }
        }
        return r;
}

int archive_check(const struct Operation *operation, const char *path,
        struct CheckReport **ret_report, struct Failure *failure) {
        _cleanup_check_report_ struct CheckReport *report = check_report_new("");
        _cleanup_(archive_check_clear) struct ArchiveCheck check = {
                .operation = operation,
                .failure = failure,
                .path = path,
                .fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
                .report = report,
                .buffer = malloc(BUFFER_SIZE),
        };
        uint64_t started = monotonic_ms();
        struct stat st;
        int r;

        if (check.fd < 0 && errno == ENOENT)
                return failure_set(failure, EVENT_SNAPSHOT_NOT_FOUND, ENOENT, path,
                        "There is no archive %s; check its name", path);
        if (check.fd < 0 || fstat(check.fd, &st) < 0)
                return failure_set_read(failure, errno, path, "open");
        if (!report || !check.buffer)
                return failure_out_of_memory(failure);
        check.size = (uint64_t) st.st_size;
        r = S_ISREG(st.st_mode) ? stream(&check) : invalid(&check, NULL, "is no file");
        if (r < 0)
                return r;
        check_report_sort(report);
        report->duration_ms = monotonic_ms() - started;
        *ret_report = STEAL(report);
        return 0;
}
