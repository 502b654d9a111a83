/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Restoring up to the exchange; restore-finish.c does the rest. The daemon goes on serving until
 * all that can fail for want of space, or because of what the snapshot holds, is behind us.
 */

#include "lib/backup/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/archive-extract.h"
#include "lib/backup/check.h"
#include "lib/backup/restore-exchange.h"
#include "lib/backup/restore-finish.h"
#include "lib/backup/restore-journal.h"
#include "lib/backup/restore-plan.h"
#include "lib/backup/restore-safety.h"
#include "lib/backup/restore-stage.h"
#include "lib/base/file-io.h"

/* What is restored. */

static int format_path(
        struct RestoreRun *run, char **ret_path, const char *directory, const char *name) {
        if (asprintf(ret_path, "%s/%s", directory, name) < 0) {
                *ret_path = NULL;
                return failure_out_of_memory(run->failure);
        }
        return 0;
}

static int resolve(struct RestoreRun *run) {
        const struct RestoreOptions *options = run->options;
        const char *stamp = options->safety ? options->safety : options->stamp;
        struct Restore *restore = run->restore;
        struct stat st;
        int r;

        if (options->archive) {
                restore->source = strdup(options->archive);
                if (!restore->source)
                        return failure_out_of_memory(run->failure);
                if (stat(restore->source, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
                        return failure_set(run->failure, EVENT_SNAPSHOT_NOT_FOUND, ENOENT,
                                restore->source, "There is no archive %s; check its name",
                                restore->source);
                return format_path(
                        run, &run->directory, run->operation->layout->root, RESTORE_UNPACKED);
        }
        if (!stamp_is_valid(stamp))
                return failure_set(run->failure, EVENT_STAMP_INVALID, EINVAL, NULL,
                        "\"%s\" is no stamp; stamps look like 20260407T060000Z", stamp);
        memcpy(restore->stamp, stamp, STAMP_SIZE);
        failure_set_stamp(run->failure, stamp);
        r = format_path(run, &run->directory,
                options->safety ? options->from->pre_restore : options->from->snapshots, stamp);
        if (r < 0)
                return r;
        restore->source = strdup(run->directory);
        if (!restore->source)
                return failure_out_of_memory(run->failure);
        if (stat(run->directory, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
                return failure_set(run->failure, EVENT_SNAPSHOT_NOT_FOUND, ENOENT, run->directory,
                        "There is no snapshot %s; atocore-backup --list shows those there are",
                        run->directory);
        return 0;
}

static int refuse_invalid(struct RestoreRun *run, const struct CheckReport *report) {
        _cleanup_free_ char *text = NULL;

        if (report->valid)
                return 0;
        text = finding_text(&report->findings[0]);
        return failure_set(run->failure, EVENT_SNAPSHOT_INVALID, EBADMSG, run->restore->source,
                "%s is not valid and was not restored: %s; restore another one (atocore-validate "
                "--all says which can be)",
                run->restore->source, text ? text : "see atocore-validate");
}

/* Keeps the snapshot from being pruned while it is read. */
static int lock_source(struct RestoreRun *run) {
        struct Operation operation = *run->operation;

        operation.layout = run->options->from;
        return lock_acquire_backups(&operation, LOCK_MODE_SHARED, &run->source, run->failure);
}

/* Where the snapshots are of a root that a restore is changing, or was when it was interrupted: not
 * yet, or not at all. Nothing is held from here to the gate, which comes first. */
static int pass_source(struct RestoreRun *run) {
        int r = lock_source(run);

        run->source = lock_release(run->source);
        return r;
}

/* By the copy of its database, which is what is to be live; NULL: there is none, so that it is not
 * valid. */
static int validate(const char *database, void *userdata) {
        struct RestoreRun *run = userdata;
        _cleanup_check_report_ struct CheckReport *report = NULL;
        struct Operation operation = *run->operation;
        int r;

        operation.layout = run->options->from;
        r = database ? check_snapshot_by_copy(
                               &operation, run->restore->stamp, database, &report, run->failure)
                     : check_snapshot(&operation, run->restore->stamp, &report, run->failure);
        return r < 0 ? r : refuse_invalid(run, report);
}

/* As it lies there, and without a verdict that is kept: the disk stays as it is. */
static int validate_only(struct RestoreRun *run) {
        _cleanup_check_report_ struct CheckReport *report = NULL;
        int r;

        r = lock_source(run);
        if (r >= 0)
                r = check_directory(
                        run->operation, run->directory, run->restore->stamp, &report, run->failure);
        return r < 0 ? r : refuse_invalid(run, report);
}

/* Into a directory that is ours alone: we hold the gate. If power goes, it is a leftover. */
static int unpack(struct RestoreRun *run) {
        _cleanup_check_report_ struct CheckReport *unpacked = NULL, *report = NULL;
        _cleanup_close_ int dir_fd = -1;
        int r;

        restore_tell_source(run, RESTORE_VERB_UNPACK, "archive");
        r = make_directory_at(AT_FDCWD, run->directory);
        if (r < 0)
                return failure_set_write(run->failure, -r, run->directory, "create");
        dir_fd = open(run->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir_fd < 0)
                return failure_set_read(run->failure, errno, run->directory, "open");
        r = archive_extract(run->operation, run->options->archive, run->options->identity, dir_fd,
                run->directory, &unpacked, run->failure);
        if (r < 0)
                return r;
        memcpy(run->restore->stamp, unpacked->stamp, STAMP_SIZE);
        failure_set_stamp(run->failure, unpacked->stamp);
        run->own = true;
        r = refuse_invalid(run, unpacked);
        if (r < 0)
                return r;
        restore_tell_source(run, RESTORE_VERB_VALIDATE, "archive");
        r = check_directory(run->operation, run->directory, unpacked->stamp, &report, run->failure);
        return r < 0 ? r : refuse_invalid(run, report);
}

/* The archive is read for the plan, and its checksums compared; what is in its database shows when
 * it is unpacked. */
static int plan_archive(struct RestoreRun *run) {
        _cleanup_check_report_ struct CheckReport *report = NULL;
        int r;

        r = restore_plan_archive(run->operation, run->options, run->restore, &report, run->failure);
        return r < 0 ? r : refuse_invalid(run, report);
}

static uint64_t staged_bytes(const struct Restore *restore) {
        uint64_t bytes = 0;

        for (size_t i = 0; i < RESTORE_ITEM_COUNT_; i++)
                if (restore->items[i].action == RESTORE_REPLACE)
                        bytes += restore->items[i].bytes;
        return bytes;
}

static int plan(struct RestoreRun *run) {
        const struct Layout *layout = run->operation->layout;
        const char *archive = run->options->archive;
        _cleanup_free_ char *sample = NULL;
        int r;

        if (archive && run->restore->dry_run)
                r = plan_archive(run);
        else
                r = restore_plan_items(run->directory, run->restore, &run->manifest, run->failure);
        if (r < 0)
                return r;
        r = restore_plan_targets(run->restore, run->failure);
        if (r >= 0)
                r = restore_safety_choose(run->operation, run->restore, run->failure);
        if (r >= 0)
                r = format_path(
                        run, &sample, run->directory, run->restore->items[RESTORE_DATABASE].source);
        if (r >= 0)
                r = restore_plan_space(layout, run->restore,
                        run->own ? 0 : staged_bytes(run->restore), archive ? NULL : sample,
                        run->failure);
        return r < 0 ? r
                     : restore_plan_steps(layout, run->restore, archive ? "archive" : "snapshot",
                               run->failure);
}

/* Doing it. */

/* Where `--to` names a root that is still to be made, its directories are. */
static int make_root(struct RestoreRun *run) {
        const struct Layout *layout = run->operation->layout;
        const char *const directories[] = { layout->locks, layout->tmp };
        int r = make_directory_at(AT_FDCWD, layout->root);

        if (r < 0)
                return failure_set_write(run->failure, -r, layout->root, "create");
        for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
                r = make_directories(layout->root, directories[i]);
                if (r < 0)
                        return failure_set_write(run->failure, -r, directories[i], "create");
        }
        return 0;
}

static void stage_step(const struct RestoreItem *item, void *userdata) {
        restore_tell(userdata, RESTORE_VERB_STAGE, restore_item_name(item->kind));
}

static int stage(struct RestoreRun *run) {
        bool sealed = !run->own && !run->restore->raw;
        const struct RestoreStaging staging = {
                .source = run->directory,
                .manifest = run->manifest,
                .own = run->own,
                .step = stage_step,
                .validate = sealed ? validate : NULL,
                .userdata = run,
        };

        if (sealed)
                restore_tell_source(run, RESTORE_VERB_VALIDATE, "snapshot");
        if (sealed && run->restore->items[RESTORE_DATABASE].action != RESTORE_REPLACE) {
                int r = validate(NULL, run);

                if (r < 0)
                        return r;
        }
        return restore_stage(run->operation, run->restore, &staging, run->failure);
}

static int stage_and_exchange(struct RestoreRun *run) {
        const struct Operation *operation = run->operation;
        int r;

        r = stage(run);
        if (r < 0)
                return r;
        run->source = lock_release(run->source);
        /* Of an archive only what is not live is left. It goes with the next restore if not now. */
        if (run->own)
                (void) remove_tree_at(AT_FDCWD, run->directory);
        r = restore_take_store(run);
        if (r >= 0)
                r = restore_safety_prepare(operation, run->restore, run->failure);
        if (r >= 0)
                r = operation_check(operation, run->failure);
        if (r < 0)
                return r;
        r = restore_journal_write(operation->layout, run->restore, run->failure);
        if (r < 0) {
                /* It may be there all the same; nothing was exchanged. */
                (void) restore_journal_remove(operation->layout, NULL);
                return r;
        }
        return restore_finish(run);
}

static int restore(struct RestoreRun *run) {
        const struct Layout *layout = run->operation->layout;
        bool archive = run->options->archive != NULL, dry_run = run->restore->dry_run;
        int r;

        r = resolve(run);
        if (r >= 0 && !archive)
                r = dry_run && !run->restore->raw ? validate_only(run) : pass_source(run);
        if (r >= 0)
                r = dry_run ? lock_refuse_interrupted(layout, run->failure) : make_root(run);
        if (r >= 0 && !dry_run)
                r = restore_close_gate(run);
        if (r >= 0 && !dry_run)
                r = archive ? unpack(run) : lock_source(run);
        if (r >= 0)
                r = plan(run);
        if (r < 0 || dry_run)
                return r;
        r = stage_and_exchange(run);
        /* With a journal, or where that cannot be told, it is for --resume to remove. */
        if (r < 0 && exists_at(AT_FDCWD, layout->restore_journal) == 0) {
                (void) restore_discard(run->restore, NULL);
                restore_safety_discard(layout, run->restore);
        }
        return r;
}

int restore_run(const struct Operation *operation, const struct RestoreOptions *options,
        struct Restore **ret_restore, struct Failure *failure) {
        _cleanup_(restore_run_clear) struct RestoreRun run = {
                .operation = operation,
                .options = options,
                .failure = failure,
        };
        uint64_t started = monotonic_ms();
        int r;

        run.restore = restore_new(operation->layout);
        if (!run.restore)
                return failure_out_of_memory(failure);
        run.restore->raw = options->safety != NULL;
        run.restore->force = options->force;
        run.restore->dry_run = options->dry_run;
        r = restore(&run);
        /* Where it failed before it was staged. The gate is ours still. */
        if (run.gate && options->archive)
                (void) remove_tree_at(AT_FDCWD, run.directory);
        if (r < 0)
                return r;
        run.restore->duration_ms = monotonic_ms() - started;
        *ret_restore = STEAL(run.restore);
        return 0;
}
