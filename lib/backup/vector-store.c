/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/vector-store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "lib/backup/metadata.h"
#include "lib/base/file-io.h"
#include "lib/base/sqlite.h"

/* How often a file that changes under the copy is taken again before the last copy is kept. */
#define COPY_ATTEMPTS 5

/* What SQLite takes for a name: 512 bytes (src/os_unix.c, MAX_PATHNAME), with "-journal" behind. */
#define DATABASE_PATH_MAX 504

/* In the snapshot, while a database is copied: short, however long its own name is. */
#define DATABASE_TEMPORARY ".database"

struct Copier {
        const struct Operation *operation;
        int source_fd;
        int target_fd; /* of the snapshot: paths below it begin with chroma/ */
        bool probed;   /* is `clones` known? */
        bool clones;   /* the file systems of source and target share blocks */
        const char *target_path;
        int previous_fd; /* of the snapshot to link to, or -1 */
        struct Manifest *previous;
        struct Manifest *manifest;
        json_object *warnings;
        char **databases; /* *.sqlite3, relative to the store: copied last */
        size_t n_databases;
        struct VectorStoreCopy done;
        struct Failure *failure;
};

static void copier_clear(struct Copier *copier) {
        for (size_t i = 0; i < copier->n_databases; i++)
                free(copier->databases[i]);
        free(copier->databases);
        manifest_free(copier->previous);
        if (copier->source_fd >= 0)
                (void) close(copier->source_fd);
        if (copier->previous_fd >= 0)
                (void) close(copier->previous_fd);
}

/* `name` is that in the snapshot; the sentence begins with it. */
#define WARN(copier, name, format, ...)                                                            \
        metadata_warn((copier)->operation, (copier)->warnings, name, (copier)->failure,            \
                "%s " format, name __VA_OPT__(, ) __VA_ARGS__)

/* `path` is relative to the store, "" for itself. */
static int cannot_read(struct Copier *copier, int error, const char *path) {
        return failure_set_read_at(
                copier->failure, error, copier->operation->layout->chroma, path, "read");
}

static int cannot_write(struct Copier *copier, int error, const char *name, const char *doing) {
        return failure_set_write_at(copier->failure, error, copier->target_path, name, doing);
}

/* "chroma/" + path; the name in snapshot and manifest. */
static char *snapshot_name(const char *path) {
        char *name;
        return asprintf(&name, SNAPSHOT_CHROMA "/%s", path) < 0 ? NULL : name;
}

static bool has_suffix(const char *text, const char *suffix) {
        size_t length = strlen(text), suffix_length = strlen(suffix);
        return length >= suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

/* What a database copied by SQLite's own means does not need beside it. */
static bool is_database_companion(const char *name) {
        return has_suffix(name, ".sqlite3-wal") || has_suffix(name, ".sqlite3-shm") ||
                has_suffix(name, ".sqlite3-journal");
}

static bool is_unchanged(int fd, const struct stat *before) {
        struct stat now;

        return fstat(fd, &now) >= 0 && now.st_size == before->st_size &&
                now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
                now.st_mtim.tv_nsec == before->st_mtim.tv_nsec &&
                now.st_ctim.tv_sec == before->st_ctim.tv_sec &&
                now.st_ctim.tv_nsec == before->st_ctim.tv_nsec;
}

static int add_file(struct Copier *copier, const char *name, const char *digest, uint64_t bytes) {
        copier->done.files++;
        copier->done.bytes += bytes;
        if (manifest_add(copier->manifest, name, digest) < 0)
                return failure_out_of_memory(copier->failure);
        operation_progress(copier->operation, "Copying the vector store", copier->done.bytes, 0);
        return 0;
}

/* Is there, in the previous snapshot, a file of this digest under the same name that still is what
 * its own checksum says? 1, 0, or a failure. */
static int previous_is_good(struct Copier *copier, const char *name, const char *digest) {
        const struct ManifestEntry *entry;
        _cleanup_close_ int fd = -1;
        char now[DIGEST_HEX_SIZE];
        struct stat st;
        int r;

        entry = copier->previous ? manifest_find(copier->previous, name) : NULL;
        if (!entry || strcmp(entry->digest, digest) != 0)
                return 0;
        fd = openat(copier->previous_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return 0;
        r = digest_fd(fd, now, NULL);
        if (r == -ENOMEM)
                return failure_out_of_memory(copier->failure);
        if (r >= 0 && strcmp(now, digest) == 0)
                return 1;
        r = WARN(copier, name,
                "of the previous snapshot no longer matches its checksum; copied afresh: validate "
                "that snapshot and check the disk");
        return r < 0 ? r : 0;
}

/* Asked once, on an unnamed file, so that a file system that cannot clone gets its hard links
 * without a copy made and thrown away. */
static bool can_clone(struct Copier *copier, int source) {
        if (!copier->probed) {
                _cleanup_close_ int probe =
                        openat(copier->target_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, FILE_MODE);

                copier->probed = true;
                copier->clones = probe >= 0 && ioctl(probe, FICLONE, source) >= 0;
        }
        return copier->clones;
}

/* 1 when `name` now is a link to the previous snapshot's file, 0 when it has to be copied. */
static int link_to_previous(struct Copier *copier, int source, const char *name,
        const struct stat *before, char ret_digest[DIGEST_HEX_SIZE]) {
        int r;

        /* A clone shares the blocks as well, and a later fault in the inode hits one file only. */
        if (!copier->previous || !manifest_find(copier->previous, name) ||
                can_clone(copier, source))
                return 0;
        r = digest_fd(source, ret_digest, NULL);
        if (r == -ENOMEM)
                return failure_out_of_memory(copier->failure);
        if (r < 0)
                return cannot_read(copier, -r, name + strlen(SNAPSHOT_CHROMA "/"));
        if (!is_unchanged(source, before))
                return 0;
        r = previous_is_good(copier, name, ret_digest);
        if (r <= 0)
                return r;
        /* EMLINK, EXDEV, EPERM, …: then it is copied. */
        return linkat(copier->previous_fd, name, copier->target_fd, name, 0) >= 0;
}

static int copy_once(struct Copier *copier, int source, const char *name,
        char ret_digest[DIGEST_HEX_SIZE], uint64_t *ret_bytes) {
        _cleanup_digest_ struct Digest *digest = NULL;
        _cleanup_close_ int target = -1;
        enum CopyMethod method;
        int r;

        r = digest_new(&digest);
        if (r < 0)
                return failure_out_of_memory(copier->failure);
        target = openat(copier->target_fd, name,
                O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
        if (target < 0)
                return cannot_write(copier, errno, name, "create");
        r = copy_contents(source, target, digest, &method, ret_bytes);
        if (r < 0)
                return cannot_write(copier, -r, name, "write the copy");
        if (method != COPY_CLONED) {
                copier->done.bytes_written += *ret_bytes;
                /* Writing back starts now and is waited for when all is copied. */
                (void) sync_file_range(target, 0, 0, SYNC_FILE_RANGE_WRITE);
        }
        if (digest_finish(digest, ret_digest) < 0)
                return failure_out_of_memory(copier->failure);
        return 0;
}

static int copy_file(struct Copier *copier, const char *path) {
        _cleanup_free_ char *name = snapshot_name(path);
        char digest[DIGEST_HEX_SIZE];
        uint64_t bytes = 0;
        int r;

        if (!name)
                return failure_out_of_memory(copier->failure);
        for (unsigned attempt = 1;; attempt++) {
                _cleanup_close_ int source = openat(copier->source_fd, path,
                        O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
                struct stat before;

                if (source < 0 && errno == ENOENT) {
                        /* Deleted since its directory was read, or between two attempts. */
                        (void) unlinkat(copier->target_fd, name, 0);
                        return 0;
                }
                if (source < 0 || fstat(source, &before) < 0)
                        return cannot_read(copier, errno, path);
                r = link_to_previous(copier, source, name, &before, digest);
                if (r < 0)
                        return r;
                if (r > 0)
                        return add_file(copier, name, digest, (uint64_t) before.st_size);
                r = copy_once(copier, source, name, digest, &bytes);
                if (r < 0)
                        return r;
                if (is_unchanged(source, &before))
                        return add_file(copier, name, digest, bytes);
                if (attempt == COPY_ATTEMPTS)
                        break;
                r = operation_check(copier->operation, copier->failure);
                if (r < 0)
                        return r;
        }
        r = WARN(copier, name, "kept changing while it was copied; what was read last was kept");
        return r < 0 ? r : add_file(copier, name, digest, bytes);
}

/* No database, whatever its name: its bytes are what can be kept of it. */
static int copy_as_it_is(
        struct Copier *copier, const char *path, const char *name, const char *reason) {
        int r = WARN(copier, name, "%s; copied as it is", reason);
        return r < 0 ? r : copy_file(copier, path);
}

static int copy_database(struct Copier *copier, const char *path) {
        _cleanup_failure_ struct Failure why = { 0 };
        _cleanup_free_ char *name = snapshot_name(path), *source = NULL, *target = NULL;
        _cleanup_close_ int fd = -1;
        char digest[DIGEST_HEX_SIZE];
        enum CopyMethod method;
        uint64_t bytes;
        int r;

        if (asprintf(&source, "%s/%s", copier->operation->layout->chroma, path) < 0)
                source = NULL;
        if (asprintf(&target, "%s/" DATABASE_TEMPORARY, copier->target_path) < 0)
                target = NULL;
        if (!name || !source || !target)
                return failure_out_of_memory(copier->failure);
        if (strlen(source) > DATABASE_PATH_MAX)
                return copy_as_it_is(copier, path, name, "has a name too long for SQLite");
        r = sqlite_copy(copier->operation, source, target, &method, &why);
        if (r < 0)
                (void) unlinkat(copier->target_fd, DATABASE_TEMPORARY, 0);
        if (r == -ENOENT)
                return 0; /* deleted meanwhile */
        if (why.event == EVENT_DATABASE_INVALID)
                return copy_as_it_is(copier, path, name, "is no SQLite database that can be read");
        if (r < 0)
                return failure_set(copier->failure, why.event, why.error,
                        why.path ? why.path : source, "%s", failure_message(&why));
        if (renameat(copier->target_fd, DATABASE_TEMPORARY, copier->target_fd, name) < 0)
                return cannot_write(copier, errno, name, "create");
        fd = openat(copier->target_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        r = fd < 0 ? -errno : digest_fd(fd, digest, &bytes);
        if (r < 0)
                return failure_set_read_at(
                        copier->failure, -r, copier->target_path, name, "read back");
        if (method != COPY_CLONED)
                copier->done.bytes_written += bytes;
        return add_file(copier, name, digest, bytes);
}

static int remember_database(struct Copier *copier, const char *path) {
        char **grown =
                reallocarray(copier->databases, copier->n_databases + 1, sizeof *copier->databases);

        if (!grown)
                return failure_out_of_memory(copier->failure);
        copier->databases = grown;
        copier->databases[copier->n_databases] = strdup(path);
        if (!copier->databases[copier->n_databases])
                return failure_out_of_memory(copier->failure);
        copier->n_databases++;
        return 0;
}

static int copy_directory(struct Copier *copier, const char *path);

static int copy_entry(struct Copier *copier, const char *path, const char *name) {
        struct stat st;

        if (fstatat(copier->source_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : cannot_read(copier, errno, path);
        if (S_ISDIR(st.st_mode))
                return copy_directory(copier, path);
        if (!S_ISREG(st.st_mode)) {
                _cleanup_free_ char *full = snapshot_name(path);

                if (!full)
                        return failure_out_of_memory(copier->failure);
                return WARN(copier, full, "is a %s, not a file; left out of the snapshot",
                        S_ISLNK(st.st_mode)            ? "symbolic link"
                                : S_ISSOCK(st.st_mode) ? "socket"
                                : S_ISFIFO(st.st_mode) ? "pipe"
                                                       : "device");
        }
        if (is_database_companion(name))
                return 0;
        if (has_suffix(name, ".sqlite3"))
                return remember_database(copier, path);
        return copy_file(copier, path);
}

/* `path` is relative to the store, "" for its root. */
static int copy_directory(struct Copier *copier, const char *path) {
        _cleanup_free_ char *target = path[0] ? snapshot_name(path) : strdup(SNAPSHOT_CHROMA);
        _cleanup_closedir_ DIR *stream = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        if (!target)
                return failure_out_of_memory(copier->failure);
        if (mkdirat(copier->target_fd, target, DIRECTORY_MODE) < 0)
                return cannot_write(copier, errno, target, "create");
        fd = openat(copier->source_fd, path[0] ? path : ".",
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return 0;
        stream = fd < 0 ? NULL : fdopendir(fd);
        if (!stream)
                return cannot_read(copier, errno, path);
        fd = -1; /* the stream has it now */

        for (;;) {
                _cleanup_free_ char *below = NULL;
                struct dirent *entry;

                errno = 0;
                entry = readdir(stream);
                if (!entry && errno != 0)
                        return cannot_read(copier, errno, path);
                if (!entry)
                        return 0;
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                r = operation_check(copier->operation, copier->failure);
                if (r < 0)
                        return r;
                if (asprintf(&below, "%s%s%s", path, path[0] ? "/" : "", entry->d_name) < 0) {
                        below = NULL;
                        return failure_out_of_memory(copier->failure);
                }
                r = copy_entry(copier, below, entry->d_name);
                if (r < 0)
                        return r;
        }
}

/* A previous snapshot that cannot be used costs space, nothing else. */
static void open_previous(struct Copier *copier, const char *previous) {
        _cleanup_free_ char *text = NULL;
        const char *problem;
        size_t size;

        copier->previous_fd = open(previous, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (copier->previous_fd < 0 ||
                read_file_at(copier->previous_fd, MANIFEST_NAME, MANIFEST_MAX, &text, &size) < 0)
                return;
        (void) manifest_parse(text, size, &copier->previous, &problem);
}

int vector_store_copy(const struct Operation *operation, int target_fd, const char *target_path,
        const char *previous, struct Manifest *manifest, json_object *warnings,
        struct VectorStoreCopy *ret_copy, struct Failure *failure) {
        _cleanup_(copier_clear) struct Copier copier = {
                .operation = operation,
                .source_fd = open(operation->layout->chroma, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                .target_fd = target_fd,
                .target_path = target_path,
                .previous_fd = -1,
                .manifest = manifest,
                .warnings = warnings,
                .failure = failure,
        };
        int r;

        if (copier.source_fd < 0)
                return failure_set_read(failure, errno, operation->layout->chroma, "open");
        if (previous)
                open_previous(&copier, previous);
        r = copy_directory(&copier, "");
        for (size_t i = 0; r >= 0 && i < copier.n_databases; i++)
                r = copy_database(&copier, copier.databases[i]);
        if (r < 0)
                return r;
        *ret_copy = copier.done;
        return 0;
}
