/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/manifest.h"
#include "lib/backup/metadata.h"
#include "lib/backup/state.h"
#include "lib/base/json-build.h"

bool snapshot_is_valid(const struct Snapshot *snapshot) {
        json_object *validation = NULL;

        return snapshot->metadata &&
                json_object_object_get_ex(snapshot->metadata, "validation", &validation) &&
                json_object_is_type(validation, json_type_object) &&
                metadata_is_true(validation, "valid");
}

struct Snapshot *snapshot_free(struct Snapshot *snapshot) {
        if (!snapshot)
                return NULL;
        if (snapshot->metadata)
                json_object_put(snapshot->metadata);
        free(snapshot->path);
        free(snapshot);
        return NULL;
}

void snapshot_list_free(struct Snapshot **snapshots, size_t n) {
        for (size_t i = 0; i < n; i++)
                snapshot_free(snapshots[i]);
        free(snapshots);
}

/* The state's members over those of the metadata, which is sealed and tells only of its making. */
static int apply_state(json_object *metadata, json_object *state) {
        static const char *const members[] = { "pinned", "validation" };

        for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
                json_object *value;

                if (!json_object_object_get_ex(state, members[i], &value) || !value)
                        continue;
                if (!json_set(metadata, members[i], json_object_get(value)))
                        return -ENOMEM;
        }
        return 0;
}

/* Metadata that cannot be read leaves *ret_metadata NULL. Only -ENOMEM and errors of reading the
 * state are returned. */
static int load_metadata(const struct Layout *layout, int snapshot_fd, const char *stamp,
        json_object **ret_metadata) {
        _cleanup_json_ json_object *metadata = NULL, *state = NULL;
        const char *problem;
        int r;

        r = metadata_read(snapshot_fd, &metadata, &problem);
        if (r == -ENOMEM)
                return r;
        if (metadata) {
                r = state_load(layout, stamp, &state);
                if (r < 0)
                        return r;
                r = state ? apply_state(metadata, state) : 0;
                if (r < 0)
                        return r;
        }
        *ret_metadata = STEAL(metadata);
        return 0;
}

/* Without metadata; NULL when memory ran out. */
static struct Snapshot *snapshot_new(const struct Layout *layout, const char *stamp) {
        _cleanup_snapshot_ struct Snapshot *snapshot = calloc(1, sizeof *snapshot);

        if (!snapshot)
                return NULL;
        if (asprintf(&snapshot->path, "%s/%s", layout->snapshots, stamp) < 0) {
                snapshot->path = NULL;
                return NULL;
        }
        memcpy(snapshot->stamp, stamp, STAMP_SIZE);
        return STEAL(snapshot);
}

int snapshot_describe(const struct Layout *layout, const char *stamp,
        struct Snapshot **ret_snapshot, struct Failure *failure) {
        _cleanup_snapshot_ struct Snapshot *snapshot = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        if (!stamp_is_valid(stamp))
                return failure_set(failure, EVENT_STAMP_INVALID, EINVAL, NULL,
                        "\"%s\" is no stamp; stamps look like 20260407T060000Z", stamp);
        snapshot = snapshot_new(layout, stamp);
        if (!snapshot)
                return failure_out_of_memory(failure);

        fd = open(snapshot->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
                failure_set_stamp(failure, stamp);
                return failure_set(failure, EVENT_SNAPSHOT_NOT_FOUND, ENOENT, snapshot->path,
                        "There is no snapshot %s in %s; atocore-backup --list shows what there is",
                        stamp, layout->snapshots);
        }
        if (fd < 0)
                return failure_set_read(failure, errno, snapshot->path, "open");
        r = load_metadata(layout, fd, stamp, &snapshot->metadata);
        if (r < 0)
                return failure_set_read(failure, -r, snapshot->path, "read the state of");
        *ret_snapshot = STEAL(snapshot);
        return 0;
}

/* What is in backups/snapshots/ but for dot-names, by name. */
struct Entries {
        struct dirent **list;
        size_t n;
};

static void entries_clear(struct Entries *entries) {
        for (size_t i = 0; i < entries->n; i++)
                free(entries->list[i]);
        free(entries->list);
}

static int is_shown(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

/* No directory: none. */
static int list_entries(
        const struct Layout *layout, struct Entries *ret_entries, struct Failure *failure) {
        int n = scandir(layout->snapshots, &ret_entries->list, is_shown, alphasort);

        if (n < 0 && errno != ENOENT)
                return failure_set_read(failure, errno, layout->snapshots, "read the directory");
        ret_entries->n = n > 0 ? (size_t) n : 0;
        return 0;
}

int snapshot_list(const struct Layout *layout, struct Snapshot ***ret_snapshots, size_t *ret_n,
        struct Failure *failure) {
        _cleanup_(entries_clear) struct Entries all = { 0 };
        struct Snapshot **snapshots;
        size_t n = 0;
        int r;

        r = list_entries(layout, &all, failure);
        if (r < 0)
                return r;
        snapshots = calloc(all.n + 1, sizeof *snapshots);
        if (!snapshots)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < all.n; i++) {
                _cleanup_failure_ struct Failure why = { 0 };

                if (!stamp_is_valid(all.list[i]->d_name))
                        continue;
                r = snapshot_describe(layout, all.list[i]->d_name, &snapshots[n], &why);
                if (r == -ENOENT)
                        continue; /* deleted meanwhile, or no directory */
                if (r < 0)        /* it is there, and must not hide the others */
                        snapshots[n] = snapshot_new(layout, all.list[i]->d_name);
                if (!snapshots[n]) {
                        snapshot_list_free(snapshots, n);
                        return failure_out_of_memory(failure);
                }
                n++;
        }
        *ret_snapshots = snapshots;
        *ret_n = n;
        return 0;
}

int snapshot_latest(const struct Layout *layout, int64_t now, char ret_stamp[STAMP_SIZE],
        size_t *ret_skipped_future, struct Failure *failure) {
        _cleanup_(entries_clear) struct Entries all = { 0 };
        size_t skipped = 0;
        int r;

        r = list_entries(layout, &all, failure);
        if (r < 0)
                return r;
        for (size_t i = all.n; i > 0; i--) {
                int64_t made;

                if (stamp_parse(all.list[i - 1]->d_name, &made) < 0)
                        continue;
                if (made > now) {
                        skipped++;
                        continue;
                }
                memcpy(ret_stamp, all.list[i - 1]->d_name, STAMP_SIZE);
                if (ret_skipped_future)
                        *ret_skipped_future = skipped;
                return 0;
        }
        return failure_set(failure, EVENT_SNAPSHOT_NOT_FOUND, ENOENT, layout->snapshots,
                "There is no snapshot in %s%s; take one with: systemctl start atocore-backup",
                layout->snapshots, skipped ? " but for ones from the future" : "");
}

json_object *snapshot_list_to_json(
        const struct Layout *layout, struct Snapshot *const *snapshots, size_t n) {
        _cleanup_json_ json_object *object = json_object_new_object();
        _cleanup_json_ json_object *array = json_object_new_array();

        if (!object || !array)
                return NULL;
        for (size_t i = 0; i < n; i++) {
                json_object *entry = snapshots[i]->metadata
                        ? json_object_get(snapshots[i]->metadata)
                        : json_object_new_object();

                /* The directory's name is what every request goes by, whatever its metadata says.
                 */
                if (!entry ||
                        !json_set(entry, "stamp", json_object_new_string(snapshots[i]->stamp))) {
                        json_object_put(entry);
                        return NULL;
                }
                if (!json_append(array, entry))
                        return NULL;
        }
        if (!json_set(object, "backup_dir", json_object_new_string(layout->snapshots)) ||
                !json_set(object, "backups", STEAL(array)))
                return NULL;
        return STEAL(object);
}

static void describe_for_retention(json_object *metadata, struct RetentionInput *input) {
        json_object *validation = NULL;

        input->readable = true;
        input->pinned = metadata_is_true(metadata, "pinned");
        input->has_vector_store = metadata_is_true(metadata, "chroma_snapshot_included");
        if (json_object_object_get_ex(metadata, "validation", &validation) &&
                json_object_is_type(validation, json_type_object))
                input->valid = metadata_is_true(validation, "valid");
}

int snapshot_retention_inputs(const struct Layout *layout, struct RetentionInput **ret_inputs,
        size_t *ret_n, struct Failure *failure) {
        _cleanup_(entries_clear) struct Entries all = { 0 };
        _cleanup_free_ struct RetentionInput *inputs = NULL;
        size_t n = 0;
        int r;

        r = list_entries(layout, &all, failure);
        if (r < 0)
                return r;
        inputs = calloc(all.n + 1, sizeof *inputs);
        if (!inputs)
                return failure_out_of_memory(failure);
        for (size_t i = 0; i < all.n; i++) {
                struct RetentionInput *input = &inputs[n];
                _cleanup_snapshot_ struct Snapshot *snapshot = NULL;
                _cleanup_failure_ struct Failure why = { 0 };

                *input = (struct RetentionInput){ 0 };
                memcpy(input->name, all.list[i]->d_name, strlen(all.list[i]->d_name) + 1);
                if (stamp_is_valid(input->name)) {
                        r = snapshot_describe(layout, input->name, &snapshot, &why);
                        if (r == -ENOMEM)
                                return failure_out_of_memory(failure);
                        input->foreign = r == -ENOENT; /* a file or link of that name */
                        /* What cannot be read for another reason is kept as unreadable. */
                        if (r >= 0 && snapshot->metadata)
                                describe_for_retention(snapshot->metadata, input);
                }
                n++;
        }
        *ret_inputs = STEAL(inputs);
        *ret_n = n;
        return 0;
}
