/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/file-io.h"
#include "lib/base/json-build.h"
#include "lib/base/json-document.h"
#include "lib/base/lock.h"

#define STATE_SUFFIX   ".json"
#define STATE_NAME_MAX (STAMP_SIZE + sizeof STATE_SUFFIX)
#define STATE_SIZE_MAX ((size_t) 16 << 20) /* errors of a snapshot of very many files */
#define STATE_DEPTH    8

/* A writer holds the lock for one small fsync. */
#define LOCK_WAIT_MS  10000
#define LOCK_RETRY_MS 5

static int state_name(const char *stamp, char ret_name[STATE_NAME_MAX]) {
        if (!stamp_is_valid(stamp))
                return -EINVAL;
        (void) snprintf(ret_name, STATE_NAME_MAX, "%s%s", stamp, STATE_SUFFIX);
        return 0;
}

/* NULL where there is no file of ours, or its text is no object. */
static int load_at(int directory, const char *name, struct json_object **ret_state) {
        _cleanup_json_ struct json_object *state = NULL;
        _cleanup_free_ char *text = NULL, *problem = NULL;
        size_t size;
        int r = read_file_at(directory, name, STATE_SIZE_MAX, &text, &size);

        if (r >= 0)
                r = json_document_parse(text, size, STATE_DEPTH, &state, &problem);
        switch (r) {
        case 0:
        case -EBADMSG:
        case -ENOENT:
        case -EISDIR:
        case -EINVAL: /* a socket, a pipe */
        case -EFBIG:
        case -ELOOP:
                *ret_state = json_object_is_type(state, json_type_object) ? STEAL(state) : NULL;
                return 0;
        default:
                return r;
        }
}

static int open_directory(const struct Layout *layout) {
        int fd = open(layout->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int state_load(const struct Layout *layout, const char *stamp, struct json_object **ret_state) {
        _cleanup_close_ int directory = -1;
        char name[STATE_NAME_MAX];
        int r = state_name(stamp, name);

        if (r < 0)
                return r;
        directory = open_directory(layout);
        if (directory == -ENOENT) {
                *ret_state = NULL;
                return 0;
        }
        if (directory < 0)
                return directory;
        return load_at(directory, name, ret_state);
}

static bool boolean_member(struct json_object *object, const char *name, bool otherwise) {
        struct json_object *value;

        if (!json_object_object_get_ex(object, name, &value) ||
                !json_object_is_type(value, json_type_boolean))
                return otherwise;
        return json_object_get_boolean(value);
}

bool state_pinned(struct json_object *state, bool otherwise) {
        return boolean_member(state, "pinned", otherwise);
}

bool state_valid(struct json_object *state, bool otherwise) {
        struct json_object *validation;

        if (!json_object_object_get_ex(state, "validation", &validation))
                return otherwise;
        return boolean_member(validation, "valid", otherwise);
}

/* lock_directory() never waits; a writer ahead of us is done in a moment. Bounded, so that one that
 * was stopped (SIGSTOP, a dead disk) does not hold up others for ever. -EAGAIN then. */
static int lock_writers(int directory) {
        const struct timespec pause = { .tv_nsec = LOCK_RETRY_MS * 1000000L };
        uint64_t deadline = monotonic_ms() + LOCK_WAIT_MS;
        int r;

        while ((r = lock_directory(directory)) == -EAGAIN && monotonic_ms() < deadline)
                (void) nanosleep(&pause, NULL);
        return r;
}

static int open_directory_locked(const struct Layout *layout) {
        _cleanup_close_ int directory = open_directory(layout);
        int r;

        if (directory < 0)
                return directory;
        r = lock_writers(directory);
        return r < 0 ? r : STEAL_FD(directory);
}

static int make_directory_locked(const struct Layout *layout) {
        int directory = open_directory_locked(layout), r;

        if (directory != -ENOENT)
                return directory;
        r = make_directory_at(AT_FDCWD, layout->state);
        if (r >= 0)
                r = sync_directory_at(AT_FDCWD, layout->backups);
        return r < 0 ? r : open_directory_locked(layout);
}

/* The new content of a state file whose old one was `state`, maybe NULL. */
static int format_with_member(
        struct json_object *state, const char *member, struct json_object *value, char **ret_text) {
        _cleanup_json_ struct json_object *changed =
                state ? json_object_get(state) : json_object_new_object();
        const char *formatted;
        char *text;

        if (!changed || !json_set(changed, member, json_object_get(value)))
                return -ENOMEM;
        formatted = json_object_to_json_string_ext(
                changed, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
        if (!formatted || asprintf(&text, "%s\n", formatted) < 0)
                return -ENOMEM;
        *ret_text = text;
        return 0;
}

static int replace_member(
        int directory, const char *name, const char *member, struct json_object *value) {
        _cleanup_json_ struct json_object *state = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = load_at(directory, name, &state);
        if (r < 0)
                return r;
        r = format_with_member(state, member, value, &text);
        if (r < 0)
                return r;
        return write_file_atomic_at(directory, name, text, strlen(text));
}

static int set_member(const struct Layout *layout, const char *stamp, const char *member,
        struct json_object *value, struct Failure *failure) {
        _cleanup_close_ int directory = -1;
        _cleanup_free_ char *path = NULL;
        char name[STATE_NAME_MAX];
        int r = state_name(stamp, name);

        if (r < 0)
                return failure_set(failure, EVENT_STAMP_INVALID, -r, NULL,
                        "\"%s\" is no stamp; a stamp reads 20260407T060000Z", stamp);
        failure_set_stamp(failure, stamp);
        if (asprintf(&path, "%s/%s", layout->state, name) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }

        directory = make_directory_locked(layout);
        if (directory == -EAGAIN)
                return failure_set(failure, EVENT_LOCK_BUSY, EAGAIN, layout->state,
                        "%s is held by another AtoCore process (lslocks shows which); gave up "
                        "after %d s; try again when it has ended",
                        layout->state, LOCK_WAIT_MS / 1000);
        if (directory < 0)
                return failure_set_write(failure, -directory, layout->state, "open");
        r = replace_member(directory, name, member, value);
        return r < 0 ? failure_set_write(failure, -r, path, "write") : 0;
}

int state_set_pinned(
        const struct Layout *layout, const char *stamp, bool pinned, struct Failure *failure) {
        _cleanup_json_ struct json_object *value = json_object_new_boolean(pinned);

        return set_member(layout, stamp, "pinned", value, failure);
}

int state_set_validation(const struct Layout *layout, const char *stamp,
        struct json_object *validation, struct Failure *failure) {
        return set_member(layout, stamp, "validation", validation, failure);
}

int state_set_offsite(const struct Layout *layout, const char *stamp, const char *place,
        int64_t verified_at, struct Failure *failure) {
        _cleanup_json_ struct json_object *value = json_object_new_object();
        char time[RFC3339_SIZE];

        rfc3339_format(verified_at, time);
        if (!value ||
                (place &&
                        (!json_set(value, "place", json_object_new_string(place)) ||
                                !json_set(value, "verified_at", json_object_new_string(time)))))
                return failure_out_of_memory(failure);
        return set_member(layout, stamp, "offsite", value, failure);
}

static const char *string_member(struct json_object *object, const char *name) {
        struct json_object *value;

        if (!json_object_object_get_ex(object, name, &value) ||
                !json_object_is_type(value, json_type_string))
                return NULL;
        return json_object_get_string(value);
}

const char *state_offsite_verified_at(struct json_object *state, const char *place) {
        struct json_object *offsite;
        const char *where;

        if (!json_object_object_get_ex(state, "offsite", &offsite) ||
                !json_object_is_type(offsite, json_type_object))
                return NULL;
        where = string_member(offsite, "place");
        return where && strcmp(where, place) == 0 ? string_member(offsite, "verified_at") : NULL;
}

int state_remove(const struct Layout *layout, const char *stamp) {
        _cleanup_close_ int directory = -1;
        char name[STATE_NAME_MAX];
        int r = state_name(stamp, name);

        if (r < 0)
                return r;
        directory = open_directory_locked(layout);
        if (directory == -ENOENT)
                return 0;
        if (directory < 0)
                return directory;
        /* Power gone before the sync: the state may still be there, whole; prune.c says what
         * becomes of it. */
        if (unlinkat(directory, name, 0) < 0)
                return errno == ENOENT ? 0 : -errno;
        return sync_directory_at(directory, ".");
}

/* ".<stamp>.json.tmp-…", as write_file_atomic_at() names them. */
static bool is_temporary(const char *name) {
        static const char tail[] = STATE_SUFFIX ".tmp-";
        char stamp[STAMP_SIZE] = "";

        if (name[0] != '.' || strlen(name) <= STAMP_SIZE)
                return false;
        memcpy(stamp, name + 1, STAMP_SIZE - 1);
        return stamp_is_valid(stamp) && strncmp(name + STAMP_SIZE, tail, sizeof tail - 1) == 0;
}

int state_remove_leftovers(const struct Layout *layout, uint64_t *ret_removed) {
        _cleanup_close_ int directory = open_directory_locked(layout);
        _cleanup_closedir_ DIR *stream = NULL;
        uint64_t removed = 0;
        struct dirent *entry;
        int r = 0, fd;

        if (directory < 0)
                return directory == -ENOENT ? 0 : directory;
        /* The stream shares the lock's open file description, not its descriptor. */
        fd = fcntl(directory, F_DUPFD_CLOEXEC, 0);
        stream = fd < 0 ? NULL : fdopendir(fd);
        if (!stream) {
                r = -errno;
                if (fd >= 0)
                        (void) close(fd);
                return r;
        }

        /* Writers hold the lock that we hold, so whoever made these is gone. What power brings back
         * goes with the next run. */
        while (errno = 0, (entry = readdir(stream))) {
                if (!is_temporary(entry->d_name))
                        continue;
                if (unlinkat(directory, entry->d_name, 0) < 0 && errno != ENOENT)
                        r = r < 0 ? r : -errno;
                else
                        removed++;
        }
        if (errno != 0)
                r = r < 0 ? r : -errno;
        if (ret_removed)
                *ret_removed = removed;
        return r;
}
