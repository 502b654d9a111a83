/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * restic, 0.14 (Debian 12) and later. A snapshot of AtoCore is one of restic's, made from within
 * its directory so that the paths in it are those of SHA256SUMS, and known by its tags: atocore,
 * the stamp, bytes=N, and chroma and pinned where that is so. It appears when all of it is there.
 */

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/offsite-engine.h"
#include "lib/backup/restic-words.h"
#include "lib/backup/tar-stream.h"
#include "lib/base/config.h"
#include "lib/base/file-io.h"
#include "lib/base/json-document.h"

#define TAG        "atocore"
#define TAG_BYTES  "bytes="
#define TAG_CHROMA "chroma"
#define TAG_PINNED "pinned"

#define JSON_DEPTH    16
#define LINE_MAX_SIZE ((size_t) 64 << 10)

static const char *text_of(json_object *object, const char *name) {
        json_object *value;

        if (!json_object_is_type(object, json_type_object) ||
                !json_object_object_get_ex(object, name, &value) ||
                !json_object_is_type(value, json_type_string))
                return NULL;
        return json_object_get_string(value);
}

static void take_tag(struct OffsiteCopy *copy, const char *tag) {
        if (stamp_is_valid(tag))
                memcpy(copy->stamp, tag, STAMP_SIZE);
        else if (strncmp(tag, TAG_BYTES, strlen(TAG_BYTES)) == 0)
                (void) config_parse_number(tag + strlen(TAG_BYTES), INT64_MAX, &copy->bytes);
        else if (strcmp(tag, TAG_CHROMA) == 0)
                copy->has_vector_store = true;
        else if (strcmp(tag, TAG_PINNED) == 0)
                copy->pinned = true;
}

/* One that has no stamp or no id is none of ours. -ENOMEM. */
static int take_snapshot(
        const struct Offsite *offsite, json_object *snapshot, struct OffsiteList *list) {
        struct OffsiteCopy found = { 0 }, *copy;
        const char *id = text_of(snapshot, "id"), *host = text_of(snapshot, "hostname");
        json_object *tags;

        if (!id || !json_object_object_get_ex(snapshot, "tags", &tags) ||
                !json_object_is_type(tags, json_type_array))
                return 0;
        for (size_t i = 0; i < json_object_array_length(tags); i++) {
                json_object *tag = json_object_array_get_idx(tags, i);

                if (json_object_is_type(tag, json_type_string))
                        take_tag(&found, json_object_get_string(tag));
        }
        if (found.stamp[0] == '\0')
                return 0;
        copy = offsite_list_add(list);
        if (!copy)
                return -ENOMEM;
        *copy = found;
        copy->name = strdup(found.stamp);
        copy->id = strdup(id);
        copy->host = strdup(host ? host : "");
        if (!copy->name || !copy->id || !copy->host)
                return -ENOMEM;
        copy->own = strcmp(copy->host, offsite->host) == 0;
        return 0;
}

static int take_snapshots(const struct Offsite *offsite, const char *text, struct OffsiteList *list,
        struct Failure *failure) {
        _cleanup_json_ json_object *snapshots = NULL;
        int r = offsite_parse_array(offsite, text, "restic snapshots --json", &snapshots, failure);

        if (r < 0)
                return r;
        for (size_t i = 0; snapshots && i < json_object_array_length(snapshots); i++)
                if (take_snapshot(offsite, json_object_array_get_idx(snapshots, i), list) < 0)
                        return failure_out_of_memory(failure);
        return 0;
}

/* Reading locks nothing, so that it needs no right to write. */
static int list(const struct Offsite *offsite, const struct Operation *operation,
        struct OffsiteList *copies, struct Failure *failure) {
        static const char *const arguments[] = { "restic", "snapshots", "--json", "--no-lock",
                "--tag", TAG, NULL };
        _cleanup_failure_ struct Failure why = { 0 };
        _cleanup_free_ char *output = NULL;
        int status, r;

        r = offsite_capture(offsite, operation, arguments, "list", &output, &status, &why);
        if (r >= 0 && status == 0)
                return take_snapshots(offsite, output, copies, failure);
        copies->absent = r >= 0 && restic_says_absent(status, failure_message(&why));
        if (copies->absent)
                return 0;
        return failure_set(failure, why.event, why.error, why.path, "%s", failure_message(&why));
}

/* A run that was killed leaves its lock there: restic knows by host and process, or by age, that
 * nobody holds it any more. */
static int prepare(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteList *copies, struct Failure *failure) {
        static const char *const init[] = { "restic", "init", NULL };
        static const char *const unlock[] = { "restic", "unlock", NULL };

        if (copies->absent)
                return offsite_capture(
                        offsite, operation, init, "create the repository", NULL, NULL, failure);
        return offsite_capture(
                offsite, operation, unlock, "remove stale locks in", NULL, NULL, failure);
}

/* One line of what `restic backup --json` says. */
static int take_line(const struct Operation *operation, const char *line, char **id) {
        _cleanup_json_ json_object *object = NULL;
        _cleanup_free_ char *problem = NULL;
        const char *type, *snapshot;
        json_object *done, *total;

        if (json_document_parse(line, strlen(line), JSON_DEPTH, &object, &problem) < 0)
                return 0; /* a remark */
        type = text_of(object, "message_type");
        if (type && strcmp(type, "status") == 0 &&
                json_object_object_get_ex(object, "bytes_done", &done) &&
                json_object_object_get_ex(object, "total_bytes", &total))
                operation_progress(operation, "Sending, bytes", json_object_get_uint64(done),
                        json_object_get_uint64(total));
        snapshot = text_of(object, "snapshot_id");
        if (!snapshot)
                return 0;
        free(*id);
        *id = strdup(snapshot);
        return *id ? 0 : -ENOMEM;
}

static int follow(const struct Operation *operation, struct Subprocess *child, char **ret_id,
        struct Failure *failure) {
        _cleanup_free_ char *line = malloc(LINE_MAX_SIZE), *id = NULL;
        size_t size = 0;

        while (line) {
                ssize_t n = subprocess_read(child, line + size, LINE_MAX_SIZE - 1 - size, failure);
                char *newline;

                if (n < 0)
                        return (int) n;
                if (n == 0) {
                        *ret_id = STEAL(id);
                        return 0;
                }
                size += (size_t) n;
                line[size] = '\0';
                while ((newline = memchr(line, '\n', size))) {
                        *newline++ = '\0';
                        if (take_line(operation, line, &id) < 0)
                                return failure_out_of_memory(failure);
                        size -= (size_t) (newline - line);
                        memmove(line, newline, size + 1);
                }
                if (size == LINE_MAX_SIZE - 1) /* no line of any use */
                        size = 0;
        }
        return failure_out_of_memory(failure);
}

static int back_up(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteItem *item, char **ret_id, struct Failure *failure) {
        _cleanup_subprocess_ struct Subprocess *child = NULL;
        _cleanup_free_ char *tags = NULL, *id = NULL;
        const char *stamp = item->stamp;
        char time[sizeof "2026-04-07 06:00:00"];
        int status, r;

        (void) snprintf(time, sizeof time, "%.4s-%.2s-%.2s %.2s:%.2s:%.2s", stamp, stamp + 4,
                stamp + 6, stamp + 9, stamp + 11, stamp + 13);
        if (asprintf(&tags, TAG ",%s," TAG_BYTES "%" PRIu64 "%s%s", stamp, item->bytes,
                    item->has_vector_store ? "," TAG_CHROMA : "",
                    item->pinned ? "," TAG_PINNED : "") < 0) {
                tags = NULL;
                return failure_out_of_memory(failure);
        }
        r = offsite_start(offsite, operation,
                (const char *const[]){ "restic", "backup", "--json", "--force", "--tag", tags,
                        "--host", offsite->host, "--time", time, "--", ".", NULL },
                item->path, &child, failure);
        if (r >= 0)
                r = follow(operation, child, &id, failure);
        if (r >= 0)
                r = subprocess_finish(child, &status, failure);
        if (r < 0)
                return r;
        if (status != 0 || !id)
                return offsite_failed(offsite, child, status, "send to", failure);
        *ret_id = STEAL(id);
        return 0;
}

struct Dump {
        struct Subprocess *child;
};

static ssize_t read_dump(void *userdata, void *buffer, size_t size, struct Failure *failure) {
        return subprocess_read(((struct Dump *) userdata)->child, buffer, size, failure);
}

/* All of a copy, as a tar stream of restic's. Without its cache it comes from the other side, and
 * not from what this machine remembers of it. */
static int read_once(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteCopy *copy, const char *doing, int directory,
        struct TarContents *ret_contents, bool *ret_panicked, struct Failure *failure) {
        _cleanup_tar_contents_ struct TarContents contents = { 0 };
        _cleanup_subprocess_ struct Subprocess *child = NULL;
        _cleanup_free_ char *problem = NULL, *why = NULL;
        struct Dump dump;
        const struct TarSource source = {
                .read = read_dump, .userdata = &dump, .what = doing, .total = copy->bytes
        };
        int status, r, r_end;

        *ret_panicked = false;
        r = offsite_start(offsite, operation,
                (const char *const[]){
                        "restic", "dump", "--no-lock", "--no-cache", copy->id, "/", NULL },
                NULL, &child, failure);
        if (r < 0)
                return r;
        dump.child = child;
        r = tar_stream_read(operation, &source, directory, &contents, &problem, failure);
        if (r < 0 && failure_is_set(failure))
                return r;
        r_end = subprocess_finish(child, &status, failure);
        if (r_end < 0)
                return r_end;
        if (status != 0) {
                why = restic_complaint(subprocess_words(child));
                if (!why)
                        return failure_out_of_memory(failure);
                if (restic_says_damaged(why))
                        return offsite_mismatch(offsite, copy, why, failure);
                *ret_panicked = restic_has_panicked(status, subprocess_words(child));
                return offsite_failed(offsite, child, status, "read back from", failure);
        }
        if (r < 0)
                return offsite_mismatch(offsite, copy, problem ? problem : "no tree", failure);
        *ret_contents = contents;
        contents = (struct TarContents){ 0 };
        return 0;
}

/* Where restic 0.18 cannot read a file it stops walking the tree, and may die of that (a nil
 * pointer in its walker) before it has said what was wrong. Whether that was the copy or the way to
 * it tells its own check, which reads all that is there; so it is asked only then. */
static int read_copy(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteCopy *copy, const char *doing, int directory,
        struct TarContents *ret_contents, struct Failure *failure) {
        static const char *const check[] = { "restic", "check", "--no-lock", "--no-cache",
                "--read-data", NULL };
        _cleanup_failure_ struct Failure why = { 0 };
        bool panicked;
        int status, r, r_check;

        r = read_once(offsite, operation, copy, doing, directory, ret_contents, &panicked, failure);
        if (!panicked)
                return r;
        r_check = offsite_capture(offsite, operation, check, "check", NULL, &status, &why);
        if (r_check == -EINTR || r_check == -ENOMEM) {
                failure_clear(failure);
                failure_move(failure, &why);
                return r_check;
        }
        /* All else that it may say is that it could not read what is there. */
        if (r_check < 0 || status == 0 || !strstr(failure_message(&why), RESTIC_FOUND_ERRORS))
                return r;
        failure_clear(failure);
        return offsite_mismatch(offsite, copy, "its " RESTIC_FOUND_ERRORS, failure);
}

/* Of an older snapshot that has no SHA256SUMS: what it would be. */
static int hash_tree(const char *path, struct Manifest *manifest) {
        char *const roots[] = { (char *) (uintptr_t) path, NULL };
        FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
        FTSENT *entry;
        int r = tree ? 0 : -errno;

        while (r >= 0 && (errno = 0, entry = fts_read(tree))) {
                char digest[DIGEST_HEX_SIZE];
                _cleanup_close_ int fd = -1;

                if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR ||
                        entry->fts_info == FTS_NS)
                        r = -entry->fts_errno;
                if (entry->fts_info != FTS_F)
                        continue;
                fd = open(entry->fts_accpath, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
                r = fd < 0 ? -errno : digest_fd(fd, digest, NULL);
                if (r >= 0)
                        r = manifest_add(manifest, entry->fts_path + strlen(path) + 1, digest);
        }
        if (r >= 0 && errno != 0)
                r = -errno;
        if (tree)
                (void) fts_close(tree);
        manifest_sort(manifest);
        return r;
}

/* What SHA256SUMS of the item says, or would say. */
static int expect(
        const struct OffsiteItem *item, char **ret_text, size_t *ret_size, bool *ret_sealed) {
        _cleanup_manifest_ struct Manifest *manifest = NULL;
        _cleanup_close_ int directory = open(item->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (directory < 0)
                return -errno;
        r = read_file_at(directory, MANIFEST_NAME, MANIFEST_MAX, ret_text, ret_size);
        *ret_sealed = r >= 0;
        if (r != -ENOENT)
                return r;
        manifest = manifest_new();
        if (!manifest)
                return -ENOMEM;
        r = hash_tree(item->path, manifest);
        return r < 0 ? r : manifest_format(manifest, ret_text, ret_size);
}

/* The files by SHA256SUMS, and SHA256SUMS by the one that is here. */
static const char *compare(
        const struct TarContents *contents, const char *text, size_t size, bool sealed) {
        char seal[DIGEST_HEX_SIZE] = "";

        if (sealed && digest_buffer(text, size, seal) < 0)
                return "SHA-256 failed";
        if (strcmp(seal, contents->seal) != 0)
                return "its " MANIFEST_NAME " is another one";
        if (size != contents->size || memcmp(text, contents->text, size) != 0)
                return "its files do not have the checksums of " MANIFEST_NAME;
        return NULL;
}

static int verify(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteItem *item, const struct OffsiteCopy *copy, struct Failure *failure) {
        _cleanup_tar_contents_ struct TarContents contents = { 0 };
        _cleanup_free_ char *text = NULL;
        char own[DIGEST_HEX_SIZE];
        const char *problem = NULL;
        bool sealed = false;
        size_t size;
        int r;

        r = read_copy(offsite, operation, copy, "Reading back, bytes", -1, &contents, failure);
        if (r < 0)
                return r;
        if (item) {
                r = expect(item, &text, &size, &sealed);
                if (r < 0)
                        return failure_set_read(failure, -r, item->path, "read the checksums of");
                problem = compare(&contents, text, size, sealed);
        } else if (contents.seal[0] != '\0') {
                /* What came is written as SHA256SUMS is: the same files are the same bytes. */
                if (digest_buffer(contents.text, contents.size, own) < 0)
                        return failure_out_of_memory(failure);
                if (strcmp(own, contents.seal) != 0)
                        problem = "its files do not have the checksums of its " MANIFEST_NAME;
        }
        return problem ? offsite_mismatch(offsite, copy, problem, failure) : 0;
}

/* Cut off after the first step: a copy that is listed and not proven; the next run reads it back.
 */
static int send(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteItem *item, struct Failure *failure) {
        _cleanup_free_ char *id = NULL;
        struct OffsiteCopy copy = { .bytes = item->bytes };
        int r;

        r = back_up(offsite, operation, item, &id, failure);
        if (r < 0)
                return r;
        copy.id = id;
        copy.name = copy.stamp;
        memcpy(copy.stamp, item->stamp, STAMP_SIZE);
        r = verify(offsite, operation, item, &copy, failure);
        /* One that is not right must not be listed; why it is not stays the failure. */
        if (r == -EBADMSG && failure->event == EVENT_OFFSITE_MISMATCH)
                (void) offsite_capture(offsite, operation,
                        (const char *const[]){ "restic", "forget", id, NULL }, "delete a copy in",
                        NULL, NULL, failure);
        return r;
}

static int fetch(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteCopy *copy, int fd, struct Failure *failure) {
        _cleanup_tar_contents_ struct TarContents contents = { 0 };

        return read_copy(offsite, operation, copy, "Fetching, bytes", fd, &contents, failure);
}

/* Forgotten in one step each; the data that none needs any more goes after that, and what of it is
 * left when that is cut short goes with the next. */
static int remove_copies(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteCopy *const *copies, size_t n, struct Failure *failure) {
        static const char *const before[] = { "restic", "forget", "--prune" };
        const size_t n_before = sizeof before / sizeof before[0];
        _cleanup_free_ const char **arguments = calloc(n_before + n + 1, sizeof *arguments);

        if (!arguments)
                return failure_out_of_memory(failure);
        memcpy(arguments, before, sizeof before);
        for (size_t i = 0; i < n; i++)
                arguments[n_before + i] = copies[i]->id;
        return offsite_capture(
                offsite, operation, arguments, "delete copies in", NULL, NULL, failure);
}

const struct OffsiteEngine offsite_restic = {
        .program = "restic",
        .noun = "snapshot",
        .unreachable = RESTIC_UNREACHABLE,
        .list = list,
        .prepare = prepare,
        .send = send,
        .verify = verify,
        .fetch = fetch,
        .remove = remove_copies,
        .complaint = restic_complaint,
};
