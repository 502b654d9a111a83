/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/restore-plan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/backup/archive-read.h"
#include "lib/backup/metadata.h"
#include "lib/backup/restore-safety.h"
#include "lib/backup/tree-copy.h"
#include "lib/base/file-io.h"

#define SPACE_MARGIN (UINT64_C(4) << 20) /* directories, the journal, what the daemon writes */

/* Steps. */

static int add_step(struct Restore *restore, enum RestoreVerb verb, const char *what,
        uint64_t bytes, const char *target, struct Failure *failure) {
        struct RestoreStep *grown =
                reallocarray(restore->steps, restore->n_steps + 1, sizeof *grown);
        char *copy;

        if (!grown)
                return failure_out_of_memory(failure);
        restore->steps = grown;
        copy = strdup(target);
        if (!copy)
                return failure_out_of_memory(failure);
        grown[restore->n_steps++] = (struct RestoreStep){ verb, what, copy, bytes };
        return 0;
}

static int add_item_steps(struct Restore *restore, enum RestoreVerb verb, struct Failure *failure) {
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                const struct RestoreItem *item = &restore->items[i];
                int r;

                if (item->action == RESTORE_LEAVE ||
                        (verb == RESTORE_VERB_STAGE && item->action != RESTORE_REPLACE))
                        continue;
                r = add_step(restore, verb, restore_item_name(item->kind),
                        verb == RESTORE_VERB_STAGE ? item->bytes : 0,
                        verb == RESTORE_VERB_STAGE ? item->staged : item->target, failure);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_keep_steps(
        const struct Layout *layout, struct Restore *restore, struct Failure *failure) {
        for (size_t i = 0; restore->safety[0] && i < RESTORE_ITEM_COUNT_; i++) {
                const struct RestoreItem *item = &restore->items[i];
                _cleanup_free_ char *kept = NULL;
                struct stat st;
                int r;

                if (item->action == RESTORE_LEAVE || lstat(item->target, &st) < 0)
                        continue;
                if (asprintf(&kept, "%s/%s/%s", layout->pre_restore, restore->safety,
                            item->source) < 0) {
                        kept = NULL;
                        return failure_out_of_memory(failure);
                }
                r = add_step(restore, RESTORE_VERB_KEEP, restore_item_name(item->kind),
                        tree_size(item->target), kept, failure);
                if (r < 0)
                        return r;
        }
        return 0;
}

int restore_plan_steps(const struct Layout *layout, struct Restore *restore, const char *source,
        struct Failure *failure) {
        bool archive = source && strcmp(source, "archive") == 0;
        uint64_t bytes = 0;
        int r = 0;

        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++)
                if (restore->items[i].action == RESTORE_REPLACE)
                        bytes += restore->items[i].bytes;
        if (archive)
                r = add_step(restore, RESTORE_VERB_UNPACK, source, bytes, restore->source, failure);
        if (r >= 0 && source && !restore->raw)
                r = add_step(
                        restore, RESTORE_VERB_VALIDATE, source, bytes, restore->source, failure);
        if (r >= 0 && source)
                r = add_item_steps(restore, RESTORE_VERB_STAGE, failure);
        if (r >= 0)
                r = add_step(restore, RESTORE_VERB_STOP, "daemon", 0, layout->root, failure);
        if (r >= 0)
                r = add_item_steps(restore, RESTORE_VERB_EXCHANGE, failure);
        if (r >= 0)
                r = add_step(restore, RESTORE_VERB_PROVE, "daemon", 0, layout->root, failure);
        return r < 0 ? r : add_keep_steps(layout, restore, failure);
}

/* Items. */

static int refuse_foreign(
        const struct Restore *restore, json_object *metadata, struct Failure *failure) {
        char own[HOST_NAME_MAX + 1] = "";
        json_object *value;
        const char *host;

        if (restore->force || !metadata ||
                !json_object_object_get_ex(metadata, "hostname", &value) || !value)
                return 0;
        host = json_object_get_string(value);
        (void) gethostname(own, sizeof own - 1);
        if (strcmp(host, own) == 0)
                return 0;
        return failure_set(failure, EVENT_RESTORE_REFUSED, EINVAL, restore->source,
                "%s was made on the host %s, and this is %s; if it is the right one, say so with "
                "--force",
                restore->source, host, own);
}

/* What a snapshot does not have, it does not replace. A safety snapshot also says what there was
 * not. */
static int choose_action(int dir_fd, const char *path, struct RestoreItem *item, bool raw,
        json_object *metadata, struct Failure *failure) {
        int r = exists_at(dir_fd, item->source);

        if (r < 0)
                return failure_set_read_at(failure, -r, path, item->source, "examine");
        item->action = r > 0 ? RESTORE_REPLACE : RESTORE_LEAVE;
        if (r > 0 || !raw || !restore_safety_was_absent(metadata, item->kind))
                return 0;
        r = exists_at(AT_FDCWD, item->target);
        if (r < 0)
                return failure_set_read(failure, -r, item->target, "examine");
        item->action = r > 0 ? RESTORE_REMOVE : RESTORE_LEAVE;
        return 0;
}

static int read_manifest(
        int dir_fd, const char *path, struct Manifest **ret_manifest, struct Failure *failure) {
        _cleanup_free_ char *text = NULL;
        const char *problem;
        size_t size;
        int r;

        r = read_file_at(dir_fd, MANIFEST_NAME, MANIFEST_MAX, &text, &size);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return failure_set_read_at(failure, -r, path, MANIFEST_NAME, "read");
        r = manifest_parse(text, size, ret_manifest, &problem);
        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        if (r < 0)
                return failure_set(failure, EVENT_SNAPSHOT_INVALID, EBADMSG, path,
                        "%s in %s cannot be used: %s; nothing was changed, restore another one",
                        MANIFEST_NAME, path, problem);
        return 0;
}

int restore_plan_items(const char *path, struct Restore *restore, struct Manifest **ret_manifest,
        struct Failure *failure) {
        _cleanup_close_ int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_manifest_ struct Manifest *manifest = NULL;
        _cleanup_json_ json_object *metadata = NULL;
        json_object *counts;
        const char *problem;
        int r;

        if (dir_fd < 0)
                return failure_set_read(failure, errno, path, "open");
        r = metadata_read(dir_fd, &metadata, &problem);
        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        if (r < 0 && !restore->raw)
                return failure_set(failure, EVENT_SNAPSHOT_INVALID, EBADMSG, path,
                        "%s/" METADATA_NAME " cannot be read; nothing was changed, restore another "
                        "one",
                        path);
        r = refuse_foreign(restore, metadata, failure);
        if (r < 0)
                return r;
        r = read_manifest(dir_fd, path, &manifest, failure);
        if (r < 0)
                return r;
        if (!restore->counts && metadata && json_object_object_get_ex(metadata, "counts", &counts))
                restore->counts = json_object_get(counts);
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                struct RestoreItem *item = &restore->items[i];
                _cleanup_free_ char *source = NULL;

                r = choose_action(dir_fd, path, item, restore->raw, metadata, failure);
                if (r < 0)
                        return r;
                if (item->action != RESTORE_REPLACE)
                        continue;
                if (asprintf(&source, "%s/%s", path, item->source) < 0) {
                        source = NULL;
                        return failure_out_of_memory(failure);
                }
                item->bytes = tree_size(source);
        }
        *ret_manifest = STEAL(manifest);
        return 0;
}

/* What an archive would give. */
struct ArchivePlan {
        struct Restore *restore;
        struct RestoreItem *item; /* that the file at hand belongs to, or NULL */
        FILE *metadata;           /* where its text goes, while it is being read */
        char *text;
        size_t size;
};

static struct RestoreItem *item_of(struct Restore *restore, const char *path) {
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                struct RestoreItem *item = &restore->items[i];
                size_t length = strlen(item->source);

                if (strncmp(path, item->source, length) == 0 &&
                        (path[length] == '\0' || path[length] == '/'))
                        return item;
        }
        return NULL;
}

static int begin_file(void *userdata, const char *path, struct Failure *failure) {
        struct ArchivePlan *plan = userdata;

        plan->item = item_of(plan->restore, path);
        if (plan->item)
                plan->item->action = RESTORE_REPLACE;
        if (strcmp(path, METADATA_NAME) != 0)
                return 0;
        plan->metadata = open_memstream(&plan->text, &plan->size);
        return plan->metadata ? 0 : failure_out_of_memory(failure);
}

static int take_data(void *userdata, const void *data, size_t size, struct Failure *failure) {
        struct ArchivePlan *plan = userdata;

        if (plan->item)
                plan->item->bytes += size;
        if (plan->metadata && fwrite(data, 1, size, plan->metadata) != size)
                return failure_out_of_memory(failure);
        return 0;
}

static int end_file(void *userdata, const char *path, struct Failure *failure) {
        struct ArchivePlan *plan = userdata;
        bool failed = plan->metadata && fclose(plan->metadata) != 0;

        (void) path;
        plan->metadata = NULL;
        return failed ? failure_out_of_memory(failure) : 0;
}

static void archive_plan_clear(struct ArchivePlan *plan) {
        if (plan->metadata)
                (void) fclose(plan->metadata);
        free(plan->text);
}

int restore_plan_archive(const struct Operation *operation, const struct RestoreOptions *options,
        struct Restore *restore, struct CheckReport **ret_report, struct Failure *failure) {
        _cleanup_(archive_plan_clear) struct ArchivePlan plan = { .restore = restore };
        const struct ArchiveVisitor visitor = {
                .begin = begin_file,
                .data = take_data,
                .end = end_file,
                .userdata = &plan,
        };
        _cleanup_check_report_ struct CheckReport *report = NULL;
        _cleanup_json_ json_object *metadata = NULL;
        const char *problem;
        int r;

        r = archive_walk(
                operation, options->archive, options->identity, &visitor, &report, failure);
        if (r < 0)
                return r;
        memcpy(restore->stamp, report->stamp, STAMP_SIZE);
        r = report->valid ? metadata_parse(plan.text, plan.size, &metadata, &problem) : 0;
        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        r = refuse_foreign(restore, metadata, failure);
        if (r < 0)
                return r;
        *ret_report = STEAL(report);
        return 0;
}

/* Targets. */

static bool is_mount_point(const char *path) {
        struct statx st;

        return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &st) >= 0 &&
                (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

static int check_target(const struct RestoreItem *item, struct Failure *failure) {
        _cleanup_free_ char *parent =
                strndup(item->target, (size_t) (strrchr(item->target, '/') - item->target));
        struct stat st;

        if (!parent)
                return failure_out_of_memory(failure);
        if (lstat(item->target, &st) < 0)
                return errno == ENOENT || errno == ENOTDIR
                        ? 0
                        : failure_set_read(failure, errno, item->target, "examine");
        if (S_ISLNK(st.st_mode))
                return failure_set(failure, EVENT_RESTORE_REFUSED, ELOOP, item->target,
                        "%s is a symbolic link, and a restore would replace the link; put what it "
                        "points to in its place first",
                        item->target);
        if (is_mount_point(item->target))
                return failure_set(failure, EVENT_RESTORE_REFUSED, EBUSY, item->target,
                        "%s is a mount point, and cannot be exchanged as a whole; mount it at %s "
                        "instead, or restore into another root with --to and copy it over",
                        item->target, parent);
        /* A directory is moved to another one later, and with it the ".." that it holds. */
        if (S_ISDIR(st.st_mode) && faccessat(AT_FDCWD, item->target, W_OK | X_OK, AT_EACCESS) < 0)
                return failure_set(failure, EVENT_PERMISSION_DENIED, errno, item->target,
                        "%s may not be written by this user, and could not be kept: %m; give it "
                        "owner and mode of %s",
                        item->target, parent);
        return 0;
}

int restore_plan_targets(const struct Restore *restore, struct Failure *failure) {
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++) {
                int r;

                if (restore->items[i].action == RESTORE_LEAVE)
                        continue;
                r = check_target(&restore->items[i], failure);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Space. */

static bool can_clone(const struct Layout *layout, const char *sample) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int source = -1, target = -1;
        bool cloned;

        if (!sample || asprintf(&path, "%s/.restore-probe", layout->tmp) < 0)
                return path = NULL, false;
        source = open(sample, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        target = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
        cloned = source >= 0 && target >= 0 && ioctl(target, FICLONE, source) >= 0;
        (void) unlink(path);
        return cloned;
}

/* A plan for a root that is still to be made asks the file system that it will be on. */
static int examine(const char *path, struct statvfs *ret_fs) {
        _cleanup_free_ char *above = strdup(path);
        char *end;

        while (above && statvfs(above[0] ? above : "/", ret_fs) < 0) {
                if (errno != ENOENT || !(end = strrchr(above, '/')))
                        return -errno;
                *end = '\0';
        }
        return above ? 0 : -ENOMEM;
}

static int require(const char *path, uint64_t bytes, const char *what, struct Failure *failure) {
        struct statvfs fs;
        uint64_t available;
        int r = examine(path, &fs);

        if (r == -ENOMEM)
                return failure_out_of_memory(failure);
        if (r < 0)
                return failure_set_read(failure, -r, path, "examine the file system of");
        available = (uint64_t) fs.f_bavail * fs.f_frsize;
        if (available >= bytes && available - bytes >= SPACE_MARGIN)
                return 0;
        return failure_set(failure, EVENT_NO_SPACE, ENOSPC, path,
                "%s needs %" PRIu64 " bytes in %s, and %" PRIu64
                " are free; free some space there and start again, nothing was changed",
                what, bytes + SPACE_MARGIN, path, available);
}

int restore_plan_space(const struct Layout *layout, const struct Restore *restore, uint64_t bytes,
        const char *sample, struct Failure *failure) {
        _cleanup_failure_ struct Failure why = { 0 };
        _cleanup_free_ char *data =
                strndup(layout->tmp, (size_t) (strrchr(layout->tmp, '/') - layout->tmp));
        uint64_t moved = 0;

        if (!data)
                return failure_out_of_memory(failure);
        if (require(data, bytes, "The restored data", &why) < 0 && !can_clone(layout, sample))
                return failure_set(
                        failure, why.event, why.error, why.path, "%s", failure_message(&why));
        if (!restore->safety[0] || is_same_mount(data, layout->backups))
                return 0;
        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++)
                if (restore->items[i].action != RESTORE_LEAVE)
                        moved += tree_size(restore->items[i].target);
        return require(layout->backups, moved, "What is there now", failure);
}
