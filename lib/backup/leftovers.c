/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/backup/removal.h"
#include "lib/backup/snapshot.h"
#include "lib/backup/staging.h"
#include "lib/backup/state.h"

#define FAILED_KEPT (INT64_C(7) * 24 * 3600) /* seconds */

struct Leftovers {
        const struct Operation *operation;
        int64_t now;
        const struct ArchiveList *archives;
        uint64_t *removed;
        uint64_t *bytes;
};

/* The stamp behind the prefix: of `.failed-<stamp>`, or of `.failed-<stamp>-<anything>`. */
static bool stamp_behind(const char *name, const char *prefix, char ret_stamp[STAMP_SIZE]) {
        char stamp[STAMP_SIZE] = "";

        if (strncmp(name, prefix, strlen(prefix)) != 0)
                return false;
        name += strlen(prefix);
        memcpy(stamp, name, strnlen(name, STAMP_SIZE - 1));
        if (!stamp_is_valid(stamp) || (name[STAMP_SIZE - 1] != '\0' && name[STAMP_SIZE - 1] != '-'))
                return false;
        memcpy(ret_stamp, stamp, STAMP_SIZE);
        return true;
}

static int remove_one(const struct Leftovers *leftovers, const char *directory, int dir_fd,
        const char *name, const char *stamp, struct Failure *failure) {
        _cleanup_free_ char *path = NULL;
        uint64_t bytes;
        int r;

        if (asprintf(&path, "%s/%s", directory, name) < 0) {
                path = NULL;
                return failure_out_of_memory(failure);
        }
        r = removal_remove_tree(dir_fd, name, &bytes);
        if (r < 0)
                return failure_set_write(failure, -r, path, "remove");

        (*leftovers->removed)++;
        *leftovers->bytes += bytes;
        operation_notice(leftovers->operation,
                &(const struct Event){ .id = EVENT_LEFTOVER_REMOVED,
                        .stamp = stamp,
                        .path = path,
                        .numbers = &(const struct EventNumber){ "ATOCORE_BYTES", bytes },
                        .n_numbers = 1 },
                "Removed %s, left of an earlier run, %" PRIu64 " bytes", path, bytes);
        return 0;
}

/* The trash is what tells of an unfinished removal, so it goes last: see removal.h. */
static int remove_trash(const struct Leftovers *leftovers, const char *directory, int dir_fd,
        const char *name, struct Failure *failure) {
        const struct Layout *layout = leftovers->operation->layout;
        char stamp[STAMP_SIZE];
        bool known = stamp_behind(name, SNAPSHOT_TRASH_PREFIX, stamp);
        bool has_state = known && directory == layout->snapshots; /* a safety snapshot has none */
        int r = has_state ? removal_forget(layout, dir_fd, leftovers->archives, stamp) : 0;
        int one;

        if (r < 0)
                (void) failure_set_write(failure, -r, layout->state, "remove a state in");
        one = remove_one(leftovers, directory, dir_fd, name, known ? stamp : NULL, failure);
        return r < 0 ? r : one;
}

static int remove_failed(const struct Leftovers *leftovers, const char *directory, int dir_fd,
        const char *name, struct Failure *failure) {
        char stamp[STAMP_SIZE];
        int64_t time;

        if (!stamp_behind(name, SNAPSHOT_FAILED_PREFIX, stamp) || stamp_parse(stamp, &time) < 0)
                return 0;
        if (time > leftovers->now) {
                operation_notice(leftovers->operation,
                        &(const struct Event){ .id = EVENT_SNAPSHOT_IN_FUTURE, .stamp = stamp },
                        "%s/%s is dated later than now and is kept; check the clock", directory,
                        name);
                return 0;
        }
        if (leftovers->now - time <= FAILED_KEPT)
                return 0;
        return remove_one(leftovers, directory, dir_fd, name, stamp, failure);
}

static int remove_by_name(
        const struct Leftovers *leftovers, const char *directory, struct Failure *failure) {
        _cleanup_closedir_ DIR *stream = opendir(directory);
        struct dirent *entry;
        int r = 0, one;

        if (!stream)
                return errno == ENOENT ? 0 : failure_set_read(failure, errno, directory, "open");
        while (errno = 0, (entry = readdir(stream))) {
                const char *name = entry->d_name;

                if (strncmp(name, SNAPSHOT_TRASH_PREFIX, strlen(SNAPSHOT_TRASH_PREFIX)) == 0)
                        one = remove_trash(leftovers, directory, dirfd(stream), name, failure);
                else
                        one = remove_failed(leftovers, directory, dirfd(stream), name, failure);
                r = r < 0 ? r : one;
        }
        one = errno != 0 ? failure_set_read(failure, errno, directory, "list") : 0;
        return r < 0 ? r : one;
}

static int remove_state_files(const struct Leftovers *leftovers, struct Failure *failure) {
        const struct Layout *layout = leftovers->operation->layout;
        uint64_t n = 0;
        int r = state_remove_leftovers(layout, &n);

        if (n > 0)
                operation_notice(leftovers->operation,
                        &(const struct Event){
                                .id = EVENT_LEFTOVER_REMOVED, .path = layout->state },
                        "Removed %" PRIu64 " temporary files from %s", n, layout->state);
        *leftovers->removed += n;
        return r < 0 ? failure_set_write(failure, -r, layout->state, "clean") : 0;
}

int leftovers_remove(const struct Operation *operation, int64_t now,
        const struct ArchiveList *archives, uint64_t *removed, uint64_t *bytes,
        struct Failure *failure) {
        const struct Leftovers leftovers = { operation, now, archives, removed, bytes };
        const struct Layout *layout = operation->layout;
        int r, one;

        r = staging_remove_abandoned(operation, layout->snapshots, removed, bytes, failure);
        one = staging_remove_abandoned(operation, layout->archives, removed, bytes, failure);
        r = r < 0 ? r : one;
        one = staging_remove_abandoned(operation, layout->tmp, removed, bytes, failure);
        r = r < 0 ? r : one;
        one = remove_by_name(&leftovers, layout->snapshots, failure);
        r = r < 0 ? r : one;
        one = remove_by_name(&leftovers, layout->pre_restore, failure);
        r = r < 0 ? r : one;
        one = remove_state_files(&leftovers, failure);
        return r < 0 ? r : one;
}
