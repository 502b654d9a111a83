/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Making an archive. What has an archive's name is whole and on disk:
 *
 *   staged    .partial-<stamp>-<random>, locked   power gone: a leftover, removed by the next run
 *   written   the same, growing                   the same
 *   synced    the same, all of it on disk         the same
 *   renamed   <stamp>.tar.zst                     the leftover or the archive, each whole
 *   synced    <stamp>.tar.zst, its name on disk   the archive
 */

#include "lib/backup/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/archive-cipher.h"
#include "lib/backup/check.h"
#include "lib/backup/manifest.h"
#include "lib/backup/staging.h"
#include "lib/base/file-io.h"
#include "lib/base/lock.h"

static const struct Format {
        const char *name;
        const char *suffix;
} formats[] = {
        [ARCHIVE_FORMAT_ZSTD] = { "zstd", ".tar.zst" },
        [ARCHIVE_FORMAT_GZIP] = { "gzip", ".tar.gz" },
        [ARCHIVE_FORMAT_NONE] = { "none", ".tar" },
};

struct Archiving {
        const struct Operation *operation;
        struct Failure *failure;
        const char *stamp;
        int64_t time;  /* of the stamp */
        char *source;  /* path of the snapshot */
        int source_fd; /* its directory */
        struct Staging staging;
        struct ArchiveCipher *cipher; /* NULL: not encrypted */
        struct archive *writer;
        bool giving_up;
        int error; /* of the last write; 0: none */
        char *manifest_text;
        size_t manifest_size;
        struct Manifest *manifest;
        char *buffer;
        uint64_t done, total; /* bytes of the files */
};

static void archiving_clear(struct Archiving *archiving) {
        if (archiving->writer) {
                /* Closing fills up an entry that was cut off; nothing of that is written. */
                archiving->giving_up = true;
                (void) archive_write_close(archiving->writer);
                (void) archive_write_free(archiving->writer);
        }
        archive_cipher_free(archiving->cipher);
        staging_discard(&archiving->staging);
        manifest_free(archiving->manifest);
        free(archiving->manifest_text);
        free(archiving->buffer);
        free(archiving->source);
        if (archiving->source_fd >= 0)
                (void) close(archiving->source_fd);
}

int archive_format_parse(const char *text, enum ArchiveFormat *ret_format) {
        for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
                if (strcmp(text, formats[i].name) == 0) {
                        *ret_format = (enum ArchiveFormat) i;
                        return 0;
                }
        return -EINVAL;
}

/* The snapshot is not what it was: nothing is made of it. `path` is relative to it. */
static int invalid(
        struct Archiving *archiving, enum FindingCode code, const char *path, const char *problem) {
        if (archiving->failure && !failure_is_set(archiving->failure))
                archiving->failure->code = finding_code_name(code);
        return failure_set(archiving->failure, EVENT_SNAPSHOT_INVALID, 0, archiving->source,
                "Snapshot %s is not valid and was not archived: %s %s; validate it "
                "(atocore-validate %s) and take a new backup",
                archiving->stamp, path, problem, archiving->stamp);
}

/* The program only says that it failed. Whether it is the disk, the disk tells: by zeroes, as what
 * is in the buffer is plain text. */
static int cipher_failed(struct Archiving *archiving) {
        int r;

        memset(archiving->buffer, 0, IO_BUFFER_SIZE);
        r = write_all(archiving->staging.fd, archiving->buffer, IO_BUFFER_SIZE);
        return r < 0 ? failure_set_write(archiving->failure, -r, archiving->staging.path, "write")
                     : archive_cipher_blame_key(archiving->cipher, archiving->failure);
}

static int end_cipher(struct Archiving *archiving) {
        int r = archive_cipher_end(archiving->cipher, archiving->failure);

        return r == -EBADMSG ? cipher_failed(archiving) : r;
}

static int writer_failed(struct Archiving *archiving) {
        if (archive_errno(archiving->writer) == ENOMEM)
                return failure_out_of_memory(archiving->failure);
        if (archiving->error == 0) /* a mistake of ours */
                return failure_set(archiving->failure, EVENT_WRITE_FAILED, EIO,
                        archiving->staging.path, "Cannot write %s: %s; please report this",
                        archiving->staging.path, archive_error_string(archiving->writer));
        if (!archiving->cipher)
                return failure_set_write(
                        archiving->failure, -archiving->error, archiving->staging.path, "write");
        if (archiving->error != -EPIPE)
                return archiving->error; /* the failure is set */
        archiving->error = end_cipher(archiving);
        return archiving->error < 0
                ? archiving->error
                : failure_set(archiving->failure, EVENT_INTERNAL_ERROR, EPIPE,
                          archiving->staging.path,
                          "%s ended before all was encrypted; please report this",
                          archiving->operation->config->archive_encrypt);
}

static int open_snapshot(struct Archiving *archiving) {
        if (asprintf(&archiving->source, "%s/%s", archiving->operation->layout->snapshots,
                    archiving->stamp) < 0) {
                archiving->source = NULL;
                return failure_out_of_memory(archiving->failure);
        }
        archiving->source_fd =
                open(archiving->source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (archiving->source_fd >= 0)
                return 0;
        if (errno == ENOENT)
                return failure_set(archiving->failure, EVENT_SNAPSHOT_NOT_FOUND, ENOENT,
                        archiving->source,
                        "There is no snapshot %s; see atocore-backup --list for those that exist",
                        archiving->stamp);
        return failure_set_read(archiving->failure, errno, archiving->source, "open");
}

static int read_manifest(struct Archiving *archiving) {
        const char *problem = NULL;
        int r;

        r = read_file_at(archiving->source_fd, MANIFEST_NAME, MANIFEST_MAX,
                &archiving->manifest_text, &archiving->manifest_size);
        if (r == -ENOENT)
                return invalid(archiving, FINDING_MANIFEST_MISSING, MANIFEST_NAME, "is not there");
        if (r < 0)
                return failure_set_read_at(
                        archiving->failure, -r, archiving->source, MANIFEST_NAME, "read");
        r = manifest_parse(
                archiving->manifest_text, archiving->manifest_size, &archiving->manifest, &problem);
        if (r == -EBADMSG)
                return invalid(archiving, FINDING_MANIFEST_INVALID, MANIFEST_NAME, problem);
        if (r < 0)
                return failure_out_of_memory(archiving->failure);

        archiving->total = archiving->manifest_size;
        for (size_t i = 0; i < archiving->manifest->n_entries; i++) {
                struct stat st;

                if (fstatat(archiving->source_fd, archiving->manifest->entries[i].path, &st,
                            AT_SYMLINK_NOFOLLOW) >= 0)
                        archiving->total += (uint64_t) st.st_size;
        }
        return 0;
}

static la_ssize_t write_block(
        struct archive *writer, void *userdata, const void *data, size_t size) {
        struct Archiving *archiving = userdata;
        int r;

        if (archiving->giving_up)
                r = -ECANCELED;
        else if (archiving->cipher)
                r = archive_cipher_write(archiving->cipher, data, size, archiving->failure);
        else
                r = write_all(archiving->staging.fd, data, size);
        if (r >= 0)
                return (la_ssize_t) size;
        archiving->error = r;
        archive_set_error(writer, -r, "Cannot write");
        return -1;
}

static int open_writer(struct Archiving *archiving, enum ArchiveFormat format) {
        struct archive *writer = archiving->writer = archive_write_new();
        int r;

        if (!writer)
                return failure_out_of_memory(archiving->failure);
        r = archive_write_set_format_pax_restricted(writer);
        /* Names are bytes, whatever the locale. */
        if (r == ARCHIVE_OK)
                r = archive_write_set_format_option(writer, "pax", "hdrcharset", "BINARY");
        switch (format) {
        case ARCHIVE_FORMAT_ZSTD:
                if (r == ARCHIVE_OK)
                        r = archive_write_add_filter_zstd(writer);
                if (r == ARCHIVE_OK)
                        r = archive_write_set_filter_option(
                                writer, "zstd", "compression-level", "3");
                /* Two compress while we read and hash. What comes out depends on that there are
                 * any, but not on their number (https://github.com/facebook/zstd/issues/2238). */
                if (r == ARCHIVE_OK)
                        r = archive_write_set_filter_option(writer, "zstd", "threads", "2");
                break;
        case ARCHIVE_FORMAT_GZIP:
                if (r == ARCHIVE_OK)
                        r = archive_write_add_filter_gzip(writer);
                if (r == ARCHIVE_OK) /* the time of the run would be in the header */
                        r = archive_write_set_filter_option(writer, "gzip", "timestamp", NULL);
                break;
        case ARCHIVE_FORMAT_NONE:
                break;
        }
        if (r == ARCHIVE_OK)
                r = archive_write_set_bytes_per_block(writer, (int) IO_BUFFER_SIZE);
        if (r == ARCHIVE_OK) /* nothing behind the end */
                r = archive_write_set_bytes_in_last_block(writer, 1);
        if (r == ARCHIVE_OK)
                r = archive_write_open(writer, archiving, NULL, write_block, NULL);
        return r == ARCHIVE_OK ? 0 : writer_failed(archiving);
}

static int put_header(struct Archiving *archiving, const char *path, uint64_t size) {
        struct archive_entry *entry = archive_entry_new();
        _cleanup_free_ char *name = NULL;
        int r;

        if (!entry || asprintf(&name, "%s/%s", archiving->stamp, path) < 0) {
                name = NULL;
                archive_entry_free(entry);
                return failure_out_of_memory(archiving->failure);
        }
        archive_entry_set_pathname(entry, name);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, FILE_MODE);
        archive_entry_set_uid(entry, 0);
        archive_entry_set_gid(entry, 0);
        archive_entry_set_mtime(entry, (time_t) archiving->time, 0);
        archive_entry_set_size(entry, (la_int64_t) size);
        r = archive_write_header(archiving->writer, entry);
        archive_entry_free(entry);
        return r == ARCHIVE_OK ? 0 : writer_failed(archiving);
}

static int put_data(struct Archiving *archiving, const char *data, size_t size) {
        while (size > 0) {
                size_t part = size < IO_BUFFER_SIZE ? size : IO_BUFFER_SIZE;
                la_ssize_t n;
                int r;

                r = operation_check(archiving->operation, archiving->failure);
                if (r < 0)
                        return r;
                n = archive_write_data(archiving->writer, data, part);
                if (n <= 0)
                        return writer_failed(archiving);
                data += n;
                size -= (size_t) n;
                archiving->done += (uint64_t) n;
                operation_progress(archiving->operation, "Archiving, bytes", archiving->done,
                        archiving->total);
        }
        return 0;
}

/* From `fd` to the archive, as many bytes as the header says. */
static int put_content(
        struct Archiving *archiving, int fd, const struct ManifestEntry *entry, uint64_t size) {
        _cleanup_digest_ struct Digest *digest = NULL;
        char hex[DIGEST_HEX_SIZE];
        uint64_t left = size;
        int r;

        if (digest_new(&digest) < 0)
                return failure_out_of_memory(archiving->failure);
        for (;;) {
                /* So that the compressor is given the same bytes at a time each time. */
                ssize_t n = read_all_at(fd, archiving->buffer, IO_BUFFER_SIZE, size - left);

                if (n < 0)
                        return failure_set_read_at(archiving->failure, (int) -n, archiving->source,
                                entry->path, "read");
                if (n == 0)
                        break;
                if ((uint64_t) n > left)
                        return invalid(archiving, FINDING_CHECKSUM_MISMATCH, entry->path,
                                "grew while it was read");
                left -= (uint64_t) n;
                if (digest_update(digest, archiving->buffer, (size_t) n) < 0)
                        return failure_set(archiving->failure, EVENT_INTERNAL_ERROR, EIO, NULL,
                                "SHA-256 failed; please report this");
                r = put_data(archiving, archiving->buffer, (size_t) n);
                if (r < 0)
                        return r;
        }
        if (digest_finish(digest, hex) < 0)
                return failure_set(archiving->failure, EVENT_INTERNAL_ERROR, EIO, NULL,
                        "SHA-256 failed; please report this");
        if (left > 0 || strcmp(hex, entry->digest) != 0)
                return invalid(archiving, FINDING_CHECKSUM_MISMATCH, entry->path,
                        "does not have the checksum of " MANIFEST_NAME);
        return 0;
}

static int put_file(struct Archiving *archiving, const struct ManifestEntry *entry) {
        _cleanup_close_ int fd = openat(
                archiving->source_fd, entry->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
                return invalid(archiving, FINDING_FILE_MISSING, entry->path, "is not there");
        if (fd < 0 && errno == ELOOP)
                return invalid(archiving, FINDING_FILE_UNEXPECTED, entry->path, "is a link");
        if (fd < 0 || fstat(fd, &st) < 0)
                return failure_set_read_at(
                        archiving->failure, errno, archiving->source, entry->path, "open");
        if (!S_ISREG(st.st_mode))
                return invalid(archiving, FINDING_FILE_UNEXPECTED, entry->path, "is no file");
        r = put_header(archiving, entry->path, (uint64_t) st.st_size);
        if (r < 0)
                return r;
        return put_content(archiving, fd, entry, (uint64_t) st.st_size);
}

static int put_snapshot(struct Archiving *archiving) {
        int r;

        r = put_header(archiving, MANIFEST_NAME, archiving->manifest_size);
        if (r < 0)
                return r;
        r = put_data(archiving, archiving->manifest_text, archiving->manifest_size);
        for (size_t i = 0; r >= 0 && i < archiving->manifest->n_entries; i++)
                r = put_file(archiving, &archiving->manifest->entries[i]);
        if (r < 0)
                return r;
        if (archive_write_close(archiving->writer) != ARCHIVE_OK)
                return writer_failed(archiving);
        return archiving->cipher ? end_cipher(archiving) : 0;
}

/* One that has the name is of a snapshot that had the stamp before, and maybe all that is left of
 * it: it is neither replaced nor taken for that of this one. */
static int refuse_existing(const struct Archiving *archiving, const char *path) {
        struct stat st;

        if (lstat(path, &st) >= 0)
                return failure_set_write(archiving->failure, EEXIST, path, "create");
        return errno == ENOENT ? 0 : failure_set_write(archiving->failure, errno, path, "examine");
}

/* `path` of what was published. */
static int report_done(const struct Archiving *archiving, const char *path) {
        struct EventNumber number = { "ATOCORE_BYTES", 0 };
        struct stat st;

        if (lstat(path, &st) < 0)
                return failure_set_read(archiving->failure, errno, path, "examine");
        number.value = (uint64_t) st.st_size;
        operation_notice(archiving->operation,
                &(const struct Event){ .id = EVENT_ARCHIVE_DONE,
                        .stamp = archiving->stamp,
                        .path = path,
                        .numbers = &number,
                        .n_numbers = 1 },
                "Archive %s is complete: %" PRIu64 " bytes", path, number.value);
        return 0;
}

static int create(struct Archiving *archiving, enum ArchiveFormat format, const char *path) {
        int r;

        r = staging_check_root(archiving->operation->layout, archiving->failure);
        if (r < 0)
                return r;
        staging_clean_up(archiving->operation, archiving->operation->layout->archives);
        r = refuse_existing(archiving, path);
        if (r < 0)
                return r;
        r = open_snapshot(archiving);
        if (r < 0)
                return r;
        r = read_manifest(archiving);
        if (r < 0)
                return r;
        archiving->buffer = io_buffer_new(IO_BUFFER_SIZE);
        if (!archiving->buffer)
                return failure_out_of_memory(archiving->failure);
        r = staging_create(archiving->operation->layout->archives, STAGING_FILE, archiving->stamp,
                &archiving->staging, archiving->failure);
        if (r < 0)
                return r;
        r = archive_cipher_encrypt(archiving->operation, archiving->staging.fd, &archiving->cipher,
                archiving->failure);
        if (r < 0)
                return r;
        r = open_writer(archiving, format);
        if (r < 0)
                return r;
        r = put_snapshot(archiving);
        if (r < 0)
                return r;
        r = staging_sync(&archiving->staging, archiving->failure);
        if (r < 0)
                return r;
        r = staging_publish(&archiving->staging, strrchr(path, '/') + 1, archiving->failure);
        if (r == -EEXIST) /* since we looked */
                return failure_set_write(archiving->failure, EEXIST, path, "create");
        return r < 0 ? r : report_done(archiving, path);
}

int archive_create(const struct Operation *operation, const char *stamp, enum ArchiveFormat format,
        char **ret_path, struct Failure *failure) {
        /* Released last: prune and the like wait until all is closed. */
        _cleanup_lock_ struct Lock *lock = NULL;
        _cleanup_(archiving_clear) struct Archiving archiving = {
                .operation = operation,
                .failure = failure,
                .stamp = stamp,
                .source_fd = -1,
                .staging = STAGING_INIT,
        };
        _cleanup_free_ char *path = NULL;
        int r;

        if (stamp_parse(stamp, &archiving.time) < 0)
                return failure_set(failure, EVENT_STAMP_INVALID, EINVAL, NULL,
                        "\"%s\" is no stamp; stamps look like 20260407T060000Z", stamp);
        failure_set_stamp(failure, stamp);
        if (asprintf(&path, "%s/%s%s%s", operation->layout->archives, stamp, formats[format].suffix,
                    archive_cipher_suffix_of_new(operation->config)) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        r = lock_acquire_backups(operation, LOCK_MODE_SHARED, &lock, failure);
        if (r < 0)
                return r;
        r = create(&archiving, format, path);
        if (r < 0)
                return r;
        *ret_path = STEAL(path);
        return 0;
}
