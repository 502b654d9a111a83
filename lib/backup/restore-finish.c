/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/backup/restore-finish.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/backup/holders.h"
#include "lib/backup/private-daemon.h"
#include "lib/backup/proof.h"
#include "lib/backup/restore-exchange.h"
#include "lib/backup/restore-journal.h"
#include "lib/backup/restore-plan.h"
#include "lib/backup/restore-safety.h"
#include "lib/base/file-io.h"

void restore_run_clear(struct RestoreRun *run) {
        restore_free(run->restore);
        manifest_free(run->manifest);
        free(run->directory);
        lock_release(run->backups);
        lock_release(run->source);
        lock_release(run->store);
        lock_release(run->gate);
}

static void tell(const struct RestoreRun *run, const struct RestoreStep *step) {
        const char *stamp = run->restore->stamp;
        const struct EventNumber bytes = { "ATOCORE_BYTES", step->bytes };

        operation_notice(run->operation,
                &(const struct Event){ .id = EVENT_RESTORE_STEP,
                        .stamp = stamp[0] ? stamp : NULL,
                        .path = step->target,
                        .numbers = &bytes,
                        .n_numbers = step->bytes > 0 },
                step->bytes > 0 ? "%s %s: %s, %" PRIu64 " bytes" : "%s %s: %s",
                restore_verb_name(step->verb), step->what, step->target, step->bytes);
}

void restore_tell(const struct RestoreRun *run, enum RestoreVerb verb, const char *what) {
        for (size_t i = 0; i < run->restore->n_steps; i++) {
                const struct RestoreStep *step = &run->restore->steps[i];

                if (step->verb == verb && (!what || strcmp(step->what, what) == 0))
                        tell(run, step);
        }
}

void restore_tell_source(const struct RestoreRun *run, enum RestoreVerb verb, const char *what) {
        if (!run->restore->dry_run)
                tell(run,
                        &(const struct RestoreStep){
                                .verb = verb, .what = what, .target = run->restore->source });
}

/* Locks. */

static int remove_unpacked(struct RestoreRun *run) {
        const struct Layout *layout = run->operation->layout;
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s/" RESTORE_UNPACKED, layout->root) < 0) {
                path = NULL;
                return failure_out_of_memory(run->failure);
        }
        r = remove_tree_at(AT_FDCWD, path);
        return r < 0 ? failure_set_write(run->failure, -r, path, "remove") : 0;
}

static int remove_leftovers(struct RestoreRun *run, const struct Restore *leftover) {
        int r = restore_discard(leftover, run->failure);

        if (r >= 0)
                r = remove_unpacked(run);
        if (r >= 0) /* there is none: what was to become one */
                r = restore_journal_remove(run->operation->layout, run->failure);
        if (r >= 0)
                r = private_daemon_remove_abandoned(run->operation->layout, run->failure);
        return r < 0 ? r : restore_safety_remove_abandoned(run->operation->layout, run->failure);
}

int restore_close_gate(struct RestoreRun *run) {
        const struct Operation *operation = run->operation;
        int r;

        r = lock_acquire(operation->layout->gate_lock, LOCK_MODE_EXCLUSIVE, operation, &run->gate,
                run->failure);
        if (r >= 0)
                r = lock_refuse_interrupted(operation->layout, run->failure);
        return r < 0 ? r : remove_leftovers(run, run->restore);
}

/* Not lock_acquire_backups(): it is for us to end what was interrupted. */
static int take_backups(struct RestoreRun *run) {
        const struct Layout *layout = run->operation->layout;
        int r = exists_at(AT_FDCWD, layout->backups);

        if (r < 0)
                return failure_set_read(run->failure, -r, layout->backups, "examine");
        if (r == 0)
                return 0;
        return lock_acquire(layout->backups_lock, LOCK_MODE_EXCLUSIVE, run->operation,
                &run->backups, run->failure);
}

int restore_take_store(struct RestoreRun *run) {
        const struct Operation *operation = run->operation;
        int r;

        restore_tell(run, RESTORE_VERB_STOP, NULL);
        r = holders_take_store(operation, &run->store, run->failure);
        if (r >= 0)
                r = take_backups(run);
        return r < 0 ? r : holders_refuse_foreign(operation, run->failure);
}

/* The exchange, and all that comes after it. */

/* The journal is there still; everything refuses to run until it is ended. */
static int interrupted(struct RestoreRun *run, const char *state, const struct Failure *why) {
        return failure_set(run->failure, EVENT_RESTORE_INTERRUPTED, why->error, why->path,
                "%s, and the restore could not be ended: %s; mend that and end it with: "
                "atocore-restore --resume",
                state, failure_message(why));
}

/* All is as it was, and `cause` becomes the failure. */
static int take_back(struct RestoreRun *run, const struct Failure *cause) {
        const struct Layout *layout = run->operation->layout;
        _cleanup_failure_ struct Failure why = { 0 };

        if (restore_exchange_back(run->restore, &why) < 0 ||
                restore_journal_remove(layout, &why) < 0)
                return interrupted(run, failure_message(cause), &why);
        /* What cannot be removed now goes with the next restore. */
        (void) restore_discard(run->restore, NULL);
        restore_safety_discard(layout, run->restore);
        if (cause->event == EVENT_PROOF_FAILED)
                return failure_set(run->failure, EVENT_RESTORE_ROLLED_BACK, ECANCELED,
                        run->restore->source,
                        "What was restored from %s did not prove to be good, and all is as it was "
                        "before: %s",
                        run->restore->source, failure_message(cause));
        return failure_set(run->failure, cause->event, cause->error, cause->path, "%s",
                failure_message(cause));
}

/* What was sound or not when it was replaced is put back as it was: a proof says what it is worth
 * now, and decides nothing. */
static int prove(struct RestoreRun *run, struct Failure *why) {
        const struct Operation *operation = run->operation;
        const struct ProofExpectation expected = {
                .counts = run->restore->counts,
                .query = run->options ? run->options->query : NULL,
        };
        _cleanup_proof_result_ struct ProofResult result = { 0 };
        _cleanup_failure_ struct Failure unproven = { 0 };
        int r = exists_at(AT_FDCWD, operation->layout->database);

        if (r < 0)
                return failure_set_read(why, -r, operation->layout->database, "examine");
        if (r == 0)
                return 0; /* there was none */
        restore_tell(run, RESTORE_VERB_PROVE, NULL);
        r = proof_run(
                operation, operation->layout, lock_fd(run->store), &expected, &result, &unproven);
        run->restore->proof = proof_result_to_json(&result);
        if (r < 0 && run->restore->raw && unproven.event == EVENT_PROOF_FAILED) {
                operation_notice(operation,
                        &(const struct Event){ .id = EVENT_RESTORE_WARNING,
                                .stamp = run->restore->stamp,
                                .path = operation->layout->database },
                        "What was put back as it was cannot be served as it is: %s",
                        failure_message(&unproven));
                return 0;
        }
        if (r < 0)
                return failure_set(why, unproven.event, unproven.error, unproven.path, "%s",
                        failure_message(&unproven));
        return 0;
}

/* Only renames are left, and the journal knows which. */
static int keep(struct RestoreRun *run, struct Failure *why) {
        const struct Layout *layout = run->operation->layout;
        int r;

        restore_tell(run, RESTORE_VERB_KEEP, NULL);
        r = restore_safety_publish(layout, run->restore, why);
        return r < 0 ? r : restore_journal_remove(layout, why);
}

static void warn(const struct RestoreRun *run, const char *path, const char *sentence) {
        operation_notice(run->operation,
                &(const struct Event){
                        .id = EVENT_RESTORE_WARNING, .stamp = run->restore->stamp, .path = path },
                sentence, path);
}

/* What the snapshot did not have stays, and may not fit. */
static void warn_of_what_stays(const struct RestoreRun *run) {
        const struct RestoreItem *items = run->restore->items;
        struct stat st;

        if (run->restore->raw)
                return;
        if (items[RESTORE_REGISTRY].action == RESTORE_LEAVE &&
                lstat(items[RESTORE_REGISTRY].target, &st) >= 0)
                warn(run, items[RESTORE_REGISTRY].target,
                        "The snapshot holds no project registry; %s stays as it is");
        if (items[RESTORE_VECTOR_STORE].action == RESTORE_LEAVE &&
                lstat(items[RESTORE_VECTOR_STORE].target, &st) >= 0)
                warn(run, items[RESTORE_VECTOR_STORE].target,
                        "The snapshot holds no vector store; %s stays as it is and may not match "
                        "the database: either ingest anew, which brings both up to date with the "
                        "sources, or leave it: hits whose chunk is gone are filtered out as stale");
}

/*
 * From the journal to its end. Power gone …
 *   before or in the exchange   --resume exchanges the rest, or --rollback what was exchanged
 *   before "commit" is written  the same
 *   after that                  --resume keeps the rest of what was there
 */
int restore_finish(struct RestoreRun *run) {
        const struct Layout *layout = run->operation->layout;
        _cleanup_failure_ struct Failure cause = { 0 };
        int r;

        restore_tell(run, RESTORE_VERB_EXCHANGE, NULL);
        r = restore_exchange(run->restore, &cause);
        if (r >= 0 && !run->restore->committed) {
                r = prove(run, &cause);
                run->restore->committed = r >= 0;
                if (r >= 0)
                        r = restore_journal_write(layout, run->restore, &cause);
                if (r < 0)
                        return take_back(run, &cause);
        } else if (r < 0 && !run->restore->committed)
                return take_back(run, &cause);
        if (r >= 0)
                r = keep(run, &cause);
        if (r < 0)
                return interrupted(run, "What was restored is live", &cause);
        warn_of_what_stays(run);
        return 0;
}

/* Resuming. */

static int discard_leftovers(struct RestoreRun *run) {
        _cleanup_restore_ struct Restore *leftover = restore_new(run->operation->layout);

        return leftover ? remove_leftovers(run, leftover) : failure_out_of_memory(run->failure);
}

static int undo(struct RestoreRun *run) {
        const struct Layout *layout = run->operation->layout;
        int r;

        if (run->restore->committed)
                return failure_set(run->failure, EVENT_RESTORE_REFUSED, EINVAL,
                        layout->restore_journal,
                        "The interrupted restore of %s was proven already; end it with "
                        "atocore-restore --resume, and undo it then with --rollback",
                        run->restore->source);
        r = restore_exchange_back(run->restore, run->failure);
        if (r >= 0)
                r = restore_journal_remove(layout, run->failure);
        if (r < 0)
                return r;
        /* What cannot be removed now goes with the next restore. */
        (void) restore_discard(run->restore, NULL);
        restore_safety_discard(layout, run->restore);
        run->restore->undone = true;
        return 0;
}

int restore_resume(const struct Operation *operation, bool undone, struct Restore **ret_restore,
        struct Failure *failure) {
        const struct Layout *layout = operation->layout;
        _cleanup_(restore_run_clear) struct RestoreRun run = {
                .operation = operation,
                .failure = failure,
        };
        uint64_t started = monotonic_ms();
        int r;

        *ret_restore = NULL;
        r = lock_acquire(layout->gate_lock, LOCK_MODE_EXCLUSIVE, operation, &run.gate, failure);
        if (r < 0)
                return r;
        r = restore_journal_read(layout, &run.restore, failure);
        if (r == -ENOENT && !failure_is_set(failure))
                return discard_leftovers(&run);
        if (r >= 0)
                r = restore_plan_steps(layout, run.restore, NULL, failure);
        if (r >= 0)
                r = restore_take_store(&run);
        if (r >= 0)
                r = private_daemon_remove_abandoned(layout, failure);
        if (r >= 0)
                r = undone ? undo(&run) : restore_finish(&run);
        if (r < 0)
                return r;
        run.restore->duration_ms = monotonic_ms() - started;
        *ret_restore = STEAL(run.restore);
        return 0;
}
