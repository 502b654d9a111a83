/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * rclone, 1.60 (Debian 12) and later. An archive is one file there, sent as .partial-<name> and
 * read back before it gets its name: what has an archive's name there has been proven to be one. A
 * file that was cut off is written over by the next try.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/offsite-engine.h"
#include "lib/backup/snapshot.h"
#include "lib/base/digest.h"
#include "lib/base/json-document.h"

#define NO_DIRECTORY 3 /* exit status */

/* "2026/04/07 06:00:00 ERROR : x: y": the time is ours to tell. */
static char *complaint(const char *words) {
        static const char time[] = "2026/04/07 06:00:00 ";
        const char *end = words + strlen(words), *start;

        while (end > words && (end[-1] == '\n' || end[-1] == ' '))
                end--;
        start = end > words ? memrchr(words, '\n', (size_t) (end - words)) : NULL;
        start = start ? start + 1 : words;
        if ((size_t) (end - start) > strlen(time) && start[4] == '/' && start[7] == '/' &&
                start[13] == ':' && start[16] == ':')
                start += strlen(time);
        return strndup(start, (size_t) (end - start));
}

/* "REMOTE:PATH/<prefix><name>" */
static char *place_of(const struct Offsite *offsite, const char *prefix, const char *name) {
        size_t length = strlen(offsite->target);
        const char last = length > 0 ? offsite->target[length - 1] : ':';
        char *place;

        return asprintf(&place, "%s%s%s%s", offsite->target, last == ':' || last == '/' ? "" : "/",
                       prefix, name) < 0
                ? NULL
                : place;
}

/* "<stamp>.tar" and what may follow. */
static bool is_archive(const char *name, char ret_stamp[STAMP_SIZE]) {
        char stamp[STAMP_SIZE] = "";

        memcpy(stamp, name, strnlen(name, STAMP_SIZE - 1));
        if (!stamp_is_valid(stamp) || strncmp(name + STAMP_SIZE - 1, ".tar", 4) != 0 ||
                strchr(name, '/') || strlen(name) >= sizeof((struct OffsiteItem *) 0)->name)
                return false;
        memcpy(ret_stamp, stamp, STAMP_SIZE);
        return true;
}

static int describe(const char *name, uint64_t bytes, struct OffsiteCopy *copy) {
        copy->name = strdup(name);
        copy->id = strdup(name);
        copy->bytes = bytes;
        copy->own = true;
        return copy->name && copy->id ? 0 : -ENOMEM;
}

static int take_file(json_object *file, struct OffsiteList *list) {
        struct OffsiteCopy *copy;
        char stamp[STAMP_SIZE];
        json_object *name, *size;

        if (!json_object_is_type(file, json_type_object) ||
                !json_object_object_get_ex(file, "Name", &name) ||
                !json_object_is_type(name, json_type_string) ||
                !json_object_object_get_ex(file, "Size", &size) ||
                !is_archive(json_object_get_string(name), stamp))
                return 0;
        copy = offsite_list_add(list);
        if (!copy || describe(json_object_get_string(name), json_object_get_uint64(size), copy) < 0)
                return -ENOMEM;
        memcpy(copy->stamp, stamp, STAMP_SIZE);
        return 0;
}

static int take_files(const struct Offsite *offsite, const char *text, struct OffsiteList *list,
        struct Failure *failure) {
        _cleanup_json_ json_object *files = NULL;
        int r = offsite_parse_array(offsite, text, "rclone lsjson", &files, failure);

        if (r < 0)
                return r;
        for (size_t i = 0; files && i < json_object_array_length(files); i++)
                if (take_file(json_object_array_get_idx(files, i), list) < 0)
                        return failure_out_of_memory(failure);
        return 0;
}

static int list_place(const struct Offsite *offsite, const struct Operation *operation,
        const char *place, struct OffsiteList *copies, struct Failure *failure) {
        _cleanup_failure_ struct Failure why = { 0 };
        _cleanup_free_ char *output = NULL;
        int status, r;

        r = offsite_capture(offsite, operation,
                (const char *const[]){ "rclone", "lsjson", "--files-only", "--no-modtime",
                        "--no-mimetype", "--", place, NULL },
                "list", &output, &status, &why);
        if (r >= 0 && status == 0)
                return take_files(offsite, output, copies, failure);
        copies->absent = r >= 0 && status == NO_DIRECTORY;
        if (copies->absent)
                return 0;
        return failure_set(failure, why.event, why.error, why.path, "%s", failure_message(&why));
}

static int list(const struct Offsite *offsite, const struct Operation *operation,
        struct OffsiteList *copies, struct Failure *failure) {
        return list_place(offsite, operation, offsite->target, copies, failure);
}

/* rclone makes the directory with the first file, and locks nothing. */
static int prepare(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteList *copies, struct Failure *failure) {
        (void) offsite, (void) operation, (void) copies, (void) failure;
        return 0;
}

static int hash_item(
        const struct OffsiteItem *item, char ret_digest[DIGEST_HEX_SIZE], struct Failure *failure) {
        _cleanup_close_ int fd = open(item->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        int r = fd < 0 ? -errno : digest_fd(fd, ret_digest, NULL);

        return r < 0 ? failure_set_read(failure, -r, item->path, "read") : 0;
}

/* Streams a file of the other side, to `fd` where that is one. */
static int read_back(const struct Offsite *offsite, const struct Operation *operation,
        const char *place, int fd, const char *what, uint64_t total,
        char ret_digest[DIGEST_HEX_SIZE], uint64_t *ret_bytes, struct Failure *failure) {
        _cleanup_subprocess_ struct Subprocess *child = NULL;
        int status, r;

        r = offsite_start(offsite, operation,
                (const char *const[]){ "rclone", "cat", "--", place, NULL }, NULL, &child, failure);
        if (r >= 0)
                r = offsite_receive(
                        operation, child, fd, what, total, ret_digest, ret_bytes, failure);
        if (r >= 0)
                r = subprocess_finish(child, &status, failure);
        if (r < 0)
                return r;
        return status != 0 ? offsite_failed(offsite, child, status, "read back from", failure) : 0;
}

static int compare(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteItem *item, const char *place, const struct OffsiteCopy *copy,
        struct Failure *failure) {
        char here[DIGEST_HEX_SIZE], there[DIGEST_HEX_SIZE];
        uint64_t bytes;
        int r;

        r = hash_item(item, here, failure);
        if (r >= 0)
                r = read_back(offsite, operation, place, -1, "Reading back, bytes", item->bytes,
                        there, &bytes, failure);
        if (r < 0)
                return r;
        return strcmp(here, there) == 0
                ? 0
                : offsite_mismatch(
                          offsite, copy, "what was read back has another SHA-256", failure);
}

/* Where nothing here tells its digest, its length is all there is to go by. */
static int read_whole(const struct Offsite *offsite, const struct Operation *operation,
        const char *place, int fd, const char *what, const struct OffsiteCopy *copy,
        struct Failure *failure) {
        char digest[DIGEST_HEX_SIZE];
        uint64_t bytes;
        int r;

        r = read_back(offsite, operation, place, fd, what, copy->bytes, digest, &bytes, failure);
        if (r < 0)
                return r;
        return bytes == copy->bytes
                ? 0
                : offsite_mismatch(offsite, copy, "it is shorter than is said", failure);
}

static int run(const struct Offsite *offsite, const struct Operation *operation, const char *verb,
        const char *from, const char *to, const char *doing, struct Failure *failure) {
        return offsite_capture(offsite, operation,
                (const char *const[]){ "rclone", verb, "--ignore-times", "--", from, to, NULL },
                doing, NULL, NULL, failure);
}

/* Where the other side cannot rename, moving is copying there: the size is looked at again. */
static int check_size(const struct Offsite *offsite, const struct Operation *operation,
        const char *place, const struct OffsiteCopy *copy, struct Failure *failure) {
        _cleanup_offsite_list_ struct OffsiteList *found = calloc(1, sizeof *found);
        int r = found ? list_place(offsite, operation, place, found, failure)
                      : failure_out_of_memory(failure);

        if (r < 0)
                return r;
        if (found->n_copies == 1 && found->copies[0].bytes == copy->bytes)
                return 0;
        return offsite_mismatch(
                offsite, copy, "it has another size since it got its name", failure);
}

/*
 * Cut off there:
 *
 *   copied     .partial-<name>, growing    written over by the next try
 *   read back  .partial-<name>, whole      the same
 *   moved      <name>                      the one or the other, each whole
 */
static int send(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteItem *item, struct Failure *failure) {
        _cleanup_free_ char *partial = place_of(offsite, SNAPSHOT_PARTIAL_PREFIX, item->name);
        _cleanup_free_ char *place = place_of(offsite, "", item->name);
        _cleanup_offsite_copy_ struct OffsiteCopy copy = { 0 };
        int r;

        if (!partial || !place || describe(item->name, item->bytes, &copy) < 0)
                return failure_out_of_memory(failure);
        memcpy(copy.stamp, item->stamp, STAMP_SIZE);
        operation_progress(operation, "Sending, bytes", 0, item->bytes);
        r = run(offsite, operation, "copyto", item->path, partial, "send to", failure);
        if (r >= 0)
                r = compare(offsite, operation, item, partial, &copy, failure);
        if (r >= 0)
                r = run(offsite, operation, "moveto", partial, place, "rename a file in", failure);
        if (r >= 0)
                r = check_size(offsite, operation, place, &copy, failure);
        return r;
}

/* One that is not here has no checksum to go by until it is fetched: that it can be read to its end
 * is what is looked at. */
static int verify(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteItem *item, const struct OffsiteCopy *copy, struct Failure *failure) {
        _cleanup_free_ char *place = place_of(offsite, "", copy->id);

        if (!place)
                return failure_out_of_memory(failure);
        if (item)
                return compare(offsite, operation, item, place, copy, failure);
        return read_whole(offsite, operation, place, -1, "Reading back, bytes", copy, failure);
}

static int fetch(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteCopy *copy, int fd, struct Failure *failure) {
        _cleanup_free_ char *place = place_of(offsite, "", copy->id);

        if (!place)
                return failure_out_of_memory(failure);
        return read_whole(offsite, operation, place, fd, "Fetching, bytes", copy, failure);
}

static int remove_copies(const struct Offsite *offsite, const struct Operation *operation,
        const struct OffsiteCopy *const *copies, size_t n, struct Failure *failure) {
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *place = place_of(offsite, "", copies[i]->id);
                int r = place ? offsite_capture(offsite, operation,
                                        (const char *const[]){
                                                "rclone", "deletefile", "--", place, NULL },
                                        "delete a copy in", NULL, NULL, failure)
                              : failure_out_of_memory(failure);

                if (r < 0)
                        return r;
        }
        return 0;
}

const struct OffsiteEngine offsite_rclone = {
        .program = "rclone",
        .noun = "archive",
        .archives = true,
        .list = list,
        .prepare = prepare,
        .send = send,
        .verify = verify,
        .fetch = fetch,
        .remove = remove_copies,
        .complaint = complaint,
};
