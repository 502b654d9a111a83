/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/tar-stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/file-io.h"
#include "lib/base/text.h"

struct TarStream {
        const struct Operation *operation;
        const struct TarSource *source;
        struct Failure *failure;
        char **problem;
        int directory;
        struct archive *reader;
        char *input; /* what libarchive reads from */
        struct Manifest *manifest;
        struct TarContents contents;
        int source_error; /* of the last read of the source */
};

static void stream_clear(struct TarStream *stream) {
        if (stream->reader)
                (void) archive_read_free(stream->reader);
        manifest_free(stream->manifest);
        tar_contents_clear(&stream->contents);
        free(stream->input);
}

void tar_contents_clear(struct TarContents *contents) {
        free(contents->text);
        *contents = (struct TarContents){ 0 };
}

static int bad(struct TarStream *stream, const char *path, const char *problem) {
        _cleanup_free_ char *name = path ? text_escape(path) : NULL;

        if ((path && !name) ||
                asprintf(stream->problem, "%s%s%s", name ? name : "", name ? ": " : "", problem) <
                        0) {
                *stream->problem = NULL;
                return failure_out_of_memory(stream->failure);
        }
        return -EBADMSG;
}

static la_ssize_t read_source(struct archive *reader, void *userdata, const void **ret_buffer) {
        struct TarStream *stream = userdata;
        ssize_t n = stream->source->read(
                stream->source->userdata, stream->input, IO_BUFFER_SIZE, stream->failure);

        if (n < 0) {
                stream->source_error = (int) n;
                archive_set_error(reader, (int) -n, "the source failed");
                return -1;
        }
        *ret_buffer = stream->input;
        return (la_ssize_t) n;
}

/* What libarchive did not take. */
static int unreadable(struct TarStream *stream, const char *path) {
        const char *text = archive_error_string(stream->reader);

        if (stream->source_error < 0)
                return stream->source_error;
        if (archive_errno(stream->reader) == ENOMEM)
                return failure_out_of_memory(stream->failure);
        return bad(stream, path, text ? text : "cannot be read");
}

static int open_reader(struct TarStream *stream) {
        struct archive *reader = stream->reader = archive_read_new();

        if (!reader)
                return failure_out_of_memory(stream->failure);
        if (archive_read_support_format_tar(reader) != ARCHIVE_OK)
                return failure_set(stream->failure, EVENT_INTERNAL_ERROR, ENOTSUP, NULL,
                        "libarchive here cannot read tar: %s", archive_error_string(reader));
        if (archive_read_open(reader, stream, NULL, read_source, NULL) != ARCHIVE_OK)
                return unreadable(stream, NULL);
        return 0;
}

/* "a/b" of "a/b/c", made below the directory; no component of it is a link, since only what came
 * here before is there and no links do. */
static int make_parents(struct TarStream *stream, char *path, bool all) {
        for (char *slash = strchr(path, '/');; slash = strchr(slash + 1, '/')) {
                int r;

                if (!slash && !all)
                        return 0;
                if (slash)
                        *slash = '\0';
                r = make_directory_at(stream->directory, path);
                if (r < 0)
                        return failure_set_write(stream->failure, -r, path, "create");
                if (!slash)
                        return 0;
                *slash = '/';
        }
}

static int open_target(struct TarStream *stream, char *path, int *ret_fd) {
        int r = make_parents(stream, path, false);

        if (r < 0)
                return r;
        *ret_fd = openat(stream->directory, path,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
        if (*ret_fd < 0 && errno == EEXIST)
                return bad(stream, path, "comes twice");
        return *ret_fd < 0 ? failure_set_write(stream->failure, errno, path, "create") : 0;
}

static int take_block(struct TarStream *stream, const char *path, int fd, struct Digest *digest,
        const void *data, size_t size) {
        int r = digest_update(digest, data, size);

        if (r < 0)
                return failure_set(stream->failure, EVENT_INTERNAL_ERROR, EIO, NULL,
                        "SHA-256 failed; please report this");
        r = fd >= 0 ? write_all(fd, data, size) : 0;
        if (r < 0)
                return failure_set_write(stream->failure, -r, path, "write");
        stream->contents.bytes += size;
        operation_progress(stream->operation, stream->source->what, stream->contents.bytes,
                stream->source->total);
        return operation_check(stream->operation, stream->failure);
}

static int take_content(
        struct TarStream *stream, const char *path, int fd, char ret_digest[DIGEST_HEX_SIZE]) {
        _cleanup_digest_ struct Digest *digest = NULL;
        _cleanup_free_ char *buffer = io_buffer_new(IO_BUFFER_SIZE);
        la_ssize_t n;

        if (!buffer || digest_new(&digest) < 0)
                return failure_out_of_memory(stream->failure);
        while ((n = archive_read_data(stream->reader, buffer, IO_BUFFER_SIZE)) > 0) {
                int r = take_block(stream, path, fd, digest, buffer, (size_t) n);

                if (r < 0)
                        return r;
        }
        if (n < 0)
                return unreadable(stream, path);
        return digest_finish(digest, ret_digest) < 0
                ? failure_set(stream->failure, EVENT_INTERNAL_ERROR, EIO, NULL,
                          "SHA-256 failed; please report this")
                : 0;
}

/* manifest_add() knows what a plain name is; a file is hashed only when it has one. */
static int check_name(struct TarStream *stream, const char *path) {
        static const char any[] =
                "0000000000000000000000000000000000000000000000000000000000000000";
        _cleanup_manifest_ struct Manifest *probe = manifest_new();
        int r = probe ? manifest_add(probe, path, any) : -ENOMEM;

        if (r == -ENOMEM)
                return failure_out_of_memory(stream->failure);
        return r < 0 ? bad(stream, path, "is no name that a snapshot has") : 0;
}

static int take_file(struct TarStream *stream, char *path) {
        const bool seals = strcmp(path, MANIFEST_NAME) == 0;
        _cleanup_close_ int fd = -1;
        char digest[DIGEST_HEX_SIZE];
        int r = 0;

        if (seals && stream->contents.seal[0] != '\0')
                return bad(stream, path, "comes twice");
        if (!seals)
                r = check_name(stream, path);
        if (r >= 0 && stream->directory >= 0)
                r = open_target(stream, path, &fd);
        if (r >= 0)
                r = take_content(stream, path, fd, digest);
        if (r < 0)
                return r;
        stream->contents.files++;
        if (seals) {
                memcpy(stream->contents.seal, digest, sizeof digest);
                return 0;
        }
        return manifest_add(stream->manifest, path, digest) < 0
                ? failure_out_of_memory(stream->failure)
                : 0;
}

static int take_directory(struct TarStream *stream, char *path) {
        size_t length = strlen(path);
        int r;

        while (length > 0 && path[length - 1] == '/')
                path[--length] = '\0';
        if (length == 0 || strcmp(path, ".") == 0)
                return 0; /* the snapshot itself */
        r = check_name(stream, path);
        return r >= 0 && stream->directory >= 0 ? make_parents(stream, path, true) : r;
}

static int take_entry(struct TarStream *stream, struct archive_entry *entry) {
        const char *given = archive_entry_pathname(entry);
        _cleanup_free_ char *path = NULL;

        if (!given) /* not in this locale */
                given = archive_entry_pathname_utf8(entry);
        if (!given)
                return bad(stream, NULL, "a file has a name that cannot be read");
        path = strdup(given);
        if (!path)
                return failure_out_of_memory(stream->failure);
        if (archive_entry_hardlink(entry) || archive_entry_symlink(entry))
                return bad(stream, path, "is a link");
        switch (archive_entry_filetype(entry)) {
        case AE_IFREG:
                return take_file(stream, path);
        case AE_IFDIR:
                return take_directory(stream, path);
        default:
                return bad(stream, path, "is neither file nor directory");
        }
}

static int take_all(struct TarStream *stream) {
        for (;;) {
                struct archive_entry *entry;
                int r = archive_read_next_header(stream->reader, &entry);

                if (r == ARCHIVE_EOF)
                        return 0;
                if (r != ARCHIVE_OK && r != ARCHIVE_WARN) /* which names bytes of a name */
                        return unreadable(stream, NULL);
                r = take_entry(stream, entry);
                if (r < 0)
                        return r;
        }
}

int tar_stream_read(const struct Operation *operation, const struct TarSource *source,
        int directory, struct TarContents *ret_contents, char **ret_problem,
        struct Failure *failure) {
        _cleanup_(stream_clear) struct TarStream stream = {
                .operation = operation,
                .source = source,
                .failure = failure,
                .problem = ret_problem,
                .directory = directory,
                .input = io_buffer_new(IO_BUFFER_SIZE),
                .manifest = manifest_new(),
        };
        int r;

        if (!stream.input || !stream.manifest)
                return failure_out_of_memory(failure);
        r = open_reader(&stream);
        if (r >= 0)
                r = take_all(&stream);
        if (r < 0)
                return r;
        manifest_sort(stream.manifest);
        r = manifest_format(stream.manifest, &stream.contents.text, &stream.contents.size);
        if (r == -EINVAL)
                return bad(&stream, NULL, "it is empty, or a file comes twice");
        if (r < 0)
                return failure_out_of_memory(failure);
        *ret_contents = stream.contents;
        stream.contents = (struct TarContents){ 0 };
        return 0;
}
