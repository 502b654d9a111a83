/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/archive-read.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/archive-cipher.h"
#include "lib/backup/check-report.h"
#include "lib/backup/manifest.h"
#include "lib/backup/metadata.h"
#include "lib/base/file-io.h"

struct Walk {
        const struct Operation *operation;
        const struct ArchiveVisitor *visitor; /* may be NULL */
        struct Failure *failure;
        const char *path;
        int fd;
        uint64_t size;                /* of the archive */
        uint64_t given;               /* bytes of it that libarchive was given */
        struct ArchiveCipher *cipher; /* NULL: not encrypted */
        struct archive *reader;
        char *input;
        struct CheckReport *report;
        struct Manifest *manifest;
        size_t next;   /* entry of the manifest that is to come */
        bool bounded;  /* the metadata is read, and says: */
        uint64_t left; /* bytes of the files that may still come */
        char *buffer;
        bool done; /* what is behind cannot be told or is not worth it */
        int error; /* of a failure while libarchive was given its input */
};

static void walk_clear(struct Walk *walk) {
        if (walk->reader)
                (void) archive_read_free(walk->reader);
        archive_cipher_free(walk->cipher);
        manifest_free(walk->manifest);
        free(walk->input);
        free(walk->buffer);
        if (walk->fd >= 0)
                (void) close(walk->fd);
}

#define FIND(walk, code, path, ...)                                                                \
        (check_report_add((walk)->report, code, SEVERITY_ERROR, path, __VA_ARGS__) < 0             \
                        ? failure_out_of_memory((walk)->failure)                                   \
                        : 0)

/* No such archive: nothing that comes behind is looked at. */
static int invalid(struct Walk *walk, const char *path, const char *problem) {
        walk->done = true;
        return FIND(walk, FINDING_ARCHIVE_INVALID, path, "%s", problem);
}

/* What libarchive did not take, or our own failure in between. */
static int unreadable(struct Walk *walk, const char *path) {
        const char *text = archive_error_string(walk->reader);

        if (walk->error < 0)
                return walk->error;
        if (archive_errno(walk->reader) == ENOMEM)
                return failure_out_of_memory(walk->failure);
        return invalid(walk, path, text ? text : "cannot be read");
}

/* A disk that does not give a block back is damage like any other. */
static ssize_t read_input(struct Walk *walk, struct archive *reader) {
        ssize_t n;

        do {
                walk->error = operation_check(walk->operation, walk->failure);
                if (walk->error < 0)
                        return -1;
                n = read(walk->fd, walk->input, IO_BUFFER_SIZE);
        } while (n < 0 && errno == EINTR);
        if (n < 0)
                archive_set_error(reader, errno, "%s", strerror(errno));
        return n;
}

static ssize_t read_decrypted(struct Walk *walk, struct archive *reader) {
        ssize_t n = archive_cipher_read(walk->cipher, walk->input, IO_BUFFER_SIZE, walk->failure);

        if (n == -EBADMSG && !failure_is_set(walk->failure))
                archive_set_error(reader, EBADMSG, "cannot be decrypted: %s",
                        archive_cipher_words(walk->cipher));
        else if (n < 0)
                walk->error = (int) n;
        return n;
}

static la_ssize_t give_input(struct archive *reader, void *userdata, const void **ret_data) {
        struct Walk *walk = userdata;
        ssize_t n;

        operation_progress(walk->operation, "Reading the archive, bytes", walk->given, walk->size);
        n = walk->cipher ? read_decrypted(walk, reader) : read_input(walk, reader);
        if (n < 0)
                return -1;
        walk->given += (uint64_t) n;
        *ret_data = walk->input;
        return (la_ssize_t) n;
}

static int open_reader(struct Walk *walk) {
        struct archive *reader = walk->reader = archive_read_new();

        if (!reader)
                return failure_out_of_memory(walk->failure);
        /* These and no others: what else libarchive knows is so much more that could go wrong. */
        if (archive_read_support_filter_zstd(reader) != ARCHIVE_OK ||
                archive_read_support_filter_gzip(reader) != ARCHIVE_OK ||
                archive_read_support_format_tar(reader) != ARCHIVE_OK)
                return failure_set(walk->failure, EVENT_INTERNAL_ERROR, ENOTSUP, walk->path,
                        "libarchive here cannot read tar, gzip and zstd: %s",
                        archive_error_string(reader));
        if (archive_read_open(reader, walk, NULL, give_input, NULL) != ARCHIVE_OK)
                return unreadable(walk, NULL);
        return 0;
}

/* All of a small entry, with a NUL behind it; NULL, with a finding, where that is not to be had. */
static int read_text(struct Walk *walk, const char *path, size_t size, char **ret_text) {
        _cleanup_free_ char *text = malloc(size + 1);
        size_t done = 0;

        if (!text)
                return failure_out_of_memory(walk->failure);
        while (done < size) {
                la_ssize_t n = archive_read_data(walk->reader, text + done, size - done);

                if (n < 0)
                        return unreadable(walk, path);
                if (n == 0)
                        return invalid(walk, path, "is shorter than its header says");
                done += (size_t) n;
        }
        text[size] = '\0';
        *ret_text = STEAL(text);
        return 0;
}

/* A small file that was read whole. */
static int visit_text(struct Walk *walk, const char *path, const char *text, size_t size) {
        const struct ArchiveVisitor *visitor = walk->visitor;
        int r = 0;

        if (visitor && visitor->begin)
                r = visitor->begin(visitor->userdata, path, walk->failure);
        if (r >= 0 && visitor && visitor->data)
                r = visitor->data(visitor->userdata, text, size, walk->failure);
        if (r >= 0 && visitor && visitor->end)
                r = visitor->end(visitor->userdata, path, walk->failure);
        return r;
}

/* What every snapshot has. The metadata come first, also because their name does. */
static int check_listed(struct Walk *walk) {
        const struct Manifest *manifest = walk->manifest;

        if (!manifest_find(manifest, METADATA_NAME)) {
                int r = FIND(walk, FINDING_METADATA_MISSING, METADATA_NAME, NULL);

                if (r < 0)
                        return r;
        } else if (strcmp(manifest->entries[0].path, METADATA_NAME) != 0)
                return invalid(
                        walk, manifest->entries[0].path, "must not come before " METADATA_NAME);
        if (!manifest_find(manifest, SNAPSHOT_DATABASE))
                return FIND(walk, FINDING_DB_SNAPSHOT_MISSING, SNAPSHOT_DATABASE, NULL);
        return 0;
}

/* "<stamp>/SHA256SUMS" first: it says what is to come, and names the snapshot. */
static int take_manifest(struct Walk *walk, const char *name, uint64_t size) {
        _cleanup_free_ char *text = NULL;
        char stamp[STAMP_SIZE] = "";
        const char *problem = NULL;
        int r;

        memcpy(stamp, name, strnlen(name, STAMP_SIZE - 1));
        if (!stamp_is_valid(stamp) || strcmp(name + STAMP_SIZE - 1, "/" MANIFEST_NAME) != 0)
                return invalid(walk, name, "STAMP/" MANIFEST_NAME " must come first");
        memcpy(walk->report->stamp, stamp, STAMP_SIZE);
        if (size > MANIFEST_MAX)
                return invalid(walk, MANIFEST_NAME, "is larger than such a file can be");
        r = read_text(walk, MANIFEST_NAME, (size_t) size, &text);
        if (r < 0 || !text)
                return r;
        r = manifest_parse(text, (size_t) size, &walk->manifest, &problem);
        if (r == -ENOMEM)
                return failure_out_of_memory(walk->failure);
        if (r < 0) {
                walk->done = true;
                return FIND(walk, FINDING_MANIFEST_INVALID, MANIFEST_NAME, "%s", problem);
        }
        r = visit_text(walk, MANIFEST_NAME, text, (size_t) size);
        return r < 0 ? r : check_listed(walk);
}

static int compare_digest(
        struct Walk *walk, const struct ManifestEntry *entry, const char *digest) {
        walk->report->files++;
        if (strcmp(digest, entry->digest) == 0)
                return 0;
        return FIND(walk, FINDING_CHECKSUM_MISMATCH, entry->path, "SHA-256 is %.12s…, was %.12s…",
                digest, entry->digest);
}

/* How much the files are to be: more in the archive is no snapshot's, but there to fill a disk. */
static int set_bound(struct Walk *walk, struct json_object *metadata) {
        const struct ArchiveVisitor *visitor = walk->visitor;
        uint64_t bytes = 0;

        if (metadata_bytes(metadata, &bytes) < 0)
                return FIND(walk, FINDING_METADATA_INVALID_JSON, METADATA_NAME,
                        "the sizes of the files are none");
        walk->bounded = true;
        walk->left = bytes;
        return visitor && visitor->expect ? visitor->expect(visitor->userdata, bytes, walk->failure)
                                          : 0;
}

static int take_metadata(struct Walk *walk, const struct ManifestEntry *entry, uint64_t size) {
        _cleanup_json_ struct json_object *metadata = NULL;
        _cleanup_free_ char *text = NULL;
        const char *problem = NULL;
        char hex[DIGEST_HEX_SIZE];
        int r;

        r = read_text(walk, METADATA_NAME, (size_t) size, &text);
        if (r < 0 || !text)
                return r;
        walk->report->bytes += size;
        if (digest_buffer(text, (size_t) size, hex) < 0)
                return failure_out_of_memory(walk->failure);
        r = compare_digest(walk, entry, hex);
        if (r < 0)
                return r;
        r = metadata_parse(text, (size_t) size, &metadata, &problem);
        if (r == -ENOMEM)
                return failure_out_of_memory(walk->failure);
        if (r < 0)
                return FIND(walk, FINDING_METADATA_INVALID_JSON, METADATA_NAME, "%s", problem);
        r = visit_text(walk, METADATA_NAME, text, (size_t) size);
        return r < 0 ? r : set_bound(walk, metadata);
}

/* The bytes of one file, as many as its header says. */
static int pass_content(struct Walk *walk, const char *path, uint64_t size, struct Digest *digest) {
        const struct ArchiveVisitor *visitor = walk->visitor;

        for (;;) {
                la_ssize_t n = archive_read_data(walk->reader, walk->buffer, IO_BUFFER_SIZE);
                int r = 0;

                if (n < 0)
                        return unreadable(walk, path);
                if (n == 0)
                        return size == 0 ? 0
                                         : invalid(walk, path, "is shorter than its header says");
                if ((uint64_t) n > size)
                        return invalid(walk, path, "is larger than its header says");
                size -= (uint64_t) n;
                walk->report->bytes += (uint64_t) n;
                if (digest_update(digest, walk->buffer, (size_t) n) < 0)
                        return failure_out_of_memory(walk->failure);
                if (visitor && visitor->data)
                        r = visitor->data(
                                visitor->userdata, walk->buffer, (size_t) n, walk->failure);
                if (r < 0)
                        return r;
        }
}

static int take_content(struct Walk *walk, const struct ManifestEntry *entry, uint64_t size) {
        const struct ArchiveVisitor *visitor = walk->visitor;
        _cleanup_digest_ struct Digest *digest = NULL;
        char hex[DIGEST_HEX_SIZE];
        int r = 0;

        if (walk->bounded && size > walk->left)
                return invalid(walk, entry->path, "is more than " METADATA_NAME " says there is");
        walk->left -= walk->bounded ? size : 0;
        if (digest_new(&digest) < 0)
                return failure_out_of_memory(walk->failure);
        if (visitor && visitor->begin)
                r = visitor->begin(visitor->userdata, entry->path, walk->failure);
        if (r >= 0)
                r = pass_content(walk, entry->path, size, digest);
        if (r < 0 || walk->done)
                return r;
        if (visitor && visitor->end) {
                r = visitor->end(visitor->userdata, entry->path, walk->failure);
                if (r < 0)
                        return r;
        }
        if (digest_finish(digest, hex) < 0)
                return failure_out_of_memory(walk->failure);
        return compare_digest(walk, entry, hex);
}

/* Those that should have come before this one. */
static int find_missing(struct Walk *walk, size_t until) {
        for (; walk->next < until; walk->next++) {
                const char *path = walk->manifest->entries[walk->next].path;
                enum FindingCode code = strcmp(path, METADATA_NAME) == 0 ? FINDING_METADATA_MISSING
                        : strcmp(path, SNAPSHOT_DATABASE) == 0 ? FINDING_DB_SNAPSHOT_MISSING
                                                               : FINDING_FILE_MISSING;
                int r = FIND(walk, code, path, "listed in " MANIFEST_NAME);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Is one of the directories that lead to `path` listed as a file? 1, 0 or -ENOMEM. */
static int is_below_a_file(const struct Manifest *manifest, const char *path) {
        _cleanup_free_ char *above = strdup(path);

        if (!above)
                return -ENOMEM;
        for (char *slash; (slash = strrchr(above, '/'));) {
                *slash = '\0';
                if (manifest_find(manifest, above))
                        return 1;
        }
        return 0;
}

/* One of the files. Where it is not the next one of the manifest the archive was not made by us, or
 * was changed since: a name that comes twice would be unpacked over the first. */
static int take_file(struct Walk *walk, const char *name, uint64_t size) {
        const struct ManifestEntry *entry = NULL;
        size_t index;
        int r;

        if (strncmp(name, walk->report->stamp, STAMP_SIZE - 1) == 0 && name[STAMP_SIZE - 1] == '/')
                entry = manifest_find(walk->manifest, name + STAMP_SIZE);
        if (!entry) {
                walk->done = true;
                return FIND(walk, FINDING_FILE_UNEXPECTED, name, "not listed in " MANIFEST_NAME);
        }
        index = (size_t) (entry - walk->manifest->entries);
        if (index < walk->next)
                return invalid(walk, name, "comes twice, or out of order");
        r = is_below_a_file(walk->manifest, entry->path);
        if (r < 0)
                return failure_out_of_memory(walk->failure);
        if (r > 0)
                return invalid(walk, name, "is below what is a file");
        r = find_missing(walk, index);
        if (r < 0)
                return r;
        walk->next = index + 1;
        if (walk->visitor && !walk->report->valid)
                return 0;
        if (strcmp(entry->path, METADATA_NAME) != 0)
                return take_content(walk, entry, size);
        if (size <= METADATA_MAX)
                return take_metadata(walk, entry, size);
        r = FIND(walk, FINDING_METADATA_INVALID_JSON, entry->path, "%s", strerror(EFBIG));
        return r < 0 || walk->visitor ? r : take_content(walk, entry, size);
}

static int take_entry(struct Walk *walk, struct archive_entry *entry) {
        const char *name = archive_entry_pathname(entry);
        la_int64_t size = archive_entry_size(entry);

        if (!name)
                return invalid(walk, NULL, "an entry has no name");
        if (archive_entry_hardlink(entry) || archive_entry_symlink(entry) ||
                archive_entry_filetype(entry) != AE_IFREG)
                return invalid(walk, name, "is no plain file");
        if (archive_entry_sparse_count(entry) > 0)
                return invalid(walk, name, "is a sparse file");
        if (!archive_entry_size_is_set(entry) || size < 0)
                return invalid(walk, name, "has no size");
        return walk->manifest ? take_file(walk, name, (uint64_t) size)
                              : take_manifest(walk, name, (uint64_t) size);
}

/* libarchive is content where a tar ends at the end of the file, and leaves alone what is behind
 * its end: the filter must have come to an end of its own, and all of the file have been read. */
static int check_end(struct Walk *walk) {
        la_int64_t taken = archive_filter_bytes(walk->reader, -1);
        const void *more;
        la_ssize_t n;

        if (!walk->manifest)
                return invalid(walk, NULL, "it holds nothing");
        walk->done = true;
        while ((n = give_input(walk->reader, walk, &more)) > 0)
                ;
        if (n < 0)
                return unreadable(walk, NULL);
        if (taken >= 0 && (uint64_t) taken < walk->given) {
                int r = FIND(walk, FINDING_ARCHIVE_INVALID, NULL, "there is more behind its end");

                if (r < 0)
                        return r;
        }
        return find_missing(walk, walk->manifest->n_entries);
}

static int walk_entries(struct Walk *walk) {
        int r = open_reader(walk);

        while (r >= 0 && !walk->done && !(walk->visitor && !walk->report->valid)) {
                struct archive_entry *entry;

                r = operation_check(walk->operation, walk->failure);
                if (r < 0)
                        return r;
                switch (archive_read_next_header(walk->reader, &entry)) {
                case ARCHIVE_OK:
                case ARCHIVE_WARN: /* of a name's characters: it is compared as bytes */
                        r = take_entry(walk, entry);
                        break;
                case ARCHIVE_EOF:
                        r = check_end(walk);
                        break;
                default:
                        r = unreadable(walk, NULL);
                }
        }
        return r;
}

int archive_walk(const struct Operation *operation, const char *path, const char *identity,
        const struct ArchiveVisitor *visitor, struct CheckReport **ret_report,
        struct Failure *failure) {
        _cleanup_check_report_ struct CheckReport *report = check_report_new("");
        _cleanup_(walk_clear) struct Walk walk = {
                .operation = operation,
                .visitor = visitor,
                .failure = failure,
                .path = path,
                .fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
                .report = report,
                .input = io_buffer_new(IO_BUFFER_SIZE),
                .buffer = io_buffer_new(IO_BUFFER_SIZE),
        };
        uint64_t started = monotonic_ms();
        struct stat st;
        int r;

        if (walk.fd < 0 && errno == ENOENT)
                return failure_set(failure, EVENT_SNAPSHOT_NOT_FOUND, ENOENT, path,
                        "There is no archive %s; check its name", path);
        if (walk.fd < 0 || fstat(walk.fd, &st) < 0)
                return failure_set_read(failure, errno, path, "open");
        if (!report || !walk.input || !walk.buffer)
                return failure_out_of_memory(failure);
        walk.size = (uint64_t) st.st_size;
        if (S_ISREG(st.st_mode)) {
                r = archive_cipher_decrypt(
                        operation, path, walk.fd, identity, &walk.cipher, failure);
                if (r >= 0)
                        r = walk_entries(&walk);
        } else
                r = invalid(&walk, NULL, "is no file");
        if (r < 0)
                return r;
        check_report_sort(report);
        report->duration_ms = monotonic_ms() - started;
        *ret_report = STEAL(report);
        return 0;
}
