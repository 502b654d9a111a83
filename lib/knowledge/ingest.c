/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/ingest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/lock.h"
#include "lib/knowledge/ingest-scope.h"
#include "lib/knowledge/refusal.h"
#include "lib/knowledge/store.h"
#include "lib/knowledge/vector-failure.h"

/* A first ingest may find only one of the sources, or none: that is told. */
static int ingest_sources(const struct Ingest *ingest, struct Failure *failure) {
        bool any = false;

        for (const char *const *name = layout_source_names; *name; name++) {
                _cleanup_free_ char *directory = NULL;

                if (asprintf(&directory, "%s/%s", ingest->operation->layout->sources, *name) < 0) {
                        directory = NULL;
                        return failure_out_of_memory(failure);
                }
                any = any || access(directory, F_OK) == 0;
        }
        for (const char *const *name = layout_source_names; *name; name++) {
                const struct Scope scope = { *name, "", !any };
                int r = ingest_scope(ingest, &scope, failure);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Whether `outer` takes in all that `inner` does. */
static bool covers(const struct IngestRoot *outer, const struct IngestRoot *inner) {
        return strcmp(outer->source, inner->source) == 0 &&
                changes_cover(outer->subpath, inner->subpath);
}

/* A root inside another, or given twice, is done with that one. */
static bool is_covered(
        const struct Project *const *projects, size_t n_projects, size_t p, size_t root) {
        const struct IngestRoot *inner = &projects[p]->roots[root];

        for (size_t i = 0; i < n_projects; i++)
                for (size_t k = 0; k < projects[i]->n_roots; k++) {
                        const struct IngestRoot *outer = &projects[i]->roots[k];
                        bool earlier = i < p || (i == p && k < root);

                        if (!(i == p && k == root) && covers(outer, inner) &&
                                (earlier || !covers(inner, outer)))
                                return true;
                }
        return false;
}

/* The roots of a run that were read, in an array that is long enough for all of them. */
struct RootRuns {
        struct IngestRun **runs;
        size_t n;
};

static void root_runs_clear(struct RootRuns *runs) {
        for (size_t i = 0; i < runs->n; i++)
                (void) ingest_run_free(runs->runs[i]);
        free(runs->runs);
}

static int read_roots(const struct Ingest *ingest, const struct Project *const *projects,
        size_t n_projects, struct RootRuns *runs, struct Failure *failure) {
        for (size_t p = 0; p < n_projects; p++)
                for (size_t i = 0; i < projects[p]->n_roots; i++) {
                        const struct IngestRoot *root = &projects[p]->roots[i];
                        const struct Scope scope = { root->source, root->subpath, true };
                        int r;

                        if (is_covered(projects, n_projects, p, i))
                                continue;
                        r = ingest_scope_read(ingest, &scope, &runs->runs[runs->n], failure);
                        if (r < 0)
                                return r;
                        runs->n++;
                }
        return 0;
}

/* All are read before anything is taken for gone: it may have moved from one root to another. */
static int ingest_projects(const struct Ingest *ingest, const struct Project *const *projects,
        size_t n_projects, struct Failure *failure) {
        _cleanup_(root_runs_clear) struct RootRuns runs = { 0 };
        size_t n_roots = 0;
        int r;

        for (size_t p = 0; p < n_projects; p++)
                n_roots += projects[p]->n_roots;
        runs.runs = calloc(n_roots + 1, sizeof(struct IngestRun *));
        if (!runs.runs)
                return failure_out_of_memory(failure);
        r = read_roots(ingest, projects, n_projects, &runs, failure);
        for (size_t i = 0; r >= 0 && i < runs.n; i++)
                r = ingest_scope_remove(runs.runs[i]);
        return r;
}

static void unread_clear(struct Unread (*unread)[CONVERSION_COUNT]) {
        for (size_t i = 0; i < CONVERSION_COUNT; i++)
                free((*unread)[i].first);
}

/* Once for each kind: where a program is missing, it is for hundreds of files. */
static int tell_unread(const struct Ingest *ingest, struct Failure *failure) {
        for (size_t i = 0; i < CONVERSION_COUNT; i++) {
                const struct Unread *unread = &ingest->unread[i];
                _cleanup_free_ char *error = NULL, *full = NULL;

                if (unread->n == 0)
                        continue;
                if (asprintf(&error,
                            "%s (%s files that were not read: %" PRIu64
                            "; what was known of them is kept)",
                            unread->why, conversion_kinds[i].format, unread->n) < 0)
                        error = NULL;
                if (asprintf(&full, "%s/%s", ingest->operation->layout->root, unread->first) < 0)
                        full = NULL;
                if (!error || !full ||
                        ingest_result_add_error(ingest->result, EVENT_INGEST_CONVERTER_MISSING,
                                unread->first, error) < 0)
                        return failure_out_of_memory(failure);
                operation_notice(ingest->operation,
                        &(struct Event){ .id = EVENT_INGEST_CONVERTER_MISSING, .path = full },
                        "%s files were not ingested, the first of them %s: %s",
                        conversion_kinds[i].format, unread->first, error);
        }
        return 0;
}

static void remember(const struct Ingest *ingest) {
        _cleanup_failure_ struct Failure failure = { 0 };

        if (unconverted_save(ingest->unconverted, &failure) < 0)
                operation_notice(ingest->operation,
                        &(struct Event){ .id = EVENT_STATE_NOT_SAVED,
                                .path = ingest->operation->layout->cache },
                        "%s; until then each run converts again what could not be converted",
                        failure_message(&failure));
}

static int ingest_part(
        const struct Ingest *ingest, const struct ChangedPart *part, struct Failure *failure) {
        const struct Scope scope = {
                .source = part->source, .subpath = part->path, .part = part->path[0] != '\0'
        };

        return ingest_scope(ingest, &scope, failure);
}

/* What had been counted before the parts of a source were looked at. */
struct Before {
        uint64_t files_seen, files_unchanged;
        uint64_t unread[CONVERSION_COUNT];
        size_t n_errors;
};

static struct Before before_parts(const struct Ingest *ingest) {
        struct Before before = {
                .files_seen = ingest->result->files_seen,
                .files_unchanged = ingest->result->files_unchanged,
                .n_errors = ingest->result->n_errors,
        };

        for (size_t i = 0; i < CONVERSION_COUNT; i++)
                before.unread[i] = ingest->unread[i].n;
        return before;
}

/* All of the source will be looked at, where each file of its parts counts and what was not
 * ingested is met again. What is wrong with those that were is not: by then they are unchanged. */
static void forget_parts(const struct Ingest *ingest, const struct Before *before) {
        ingest->result->files_seen = before->files_seen;
        ingest->result->files_unchanged = before->files_unchanged;
        for (size_t i = 0; i < CONVERSION_COUNT; i++)
                ingest->unread[i].n = before->unread[i];
        ingest_result_drop_errors(ingest->result, before->n_errors, EVENT_INGEST_FILE_SKIPPED);
}

static int ingest_parts_of(const struct Ingest *ingest, const char *source,
        const struct Changes *changes, struct Failure *failure) {
        const struct Before before = before_parts(ingest);
        int r = INGEST_SCOPE_DONE;

        for (size_t i = 0; i < changes->n && r == INGEST_SCOPE_DONE; i++) {
                if (strcmp(changes->parts[i].source, source) != 0)
                        continue;
                /* What came may be what was missed, which a part does not tell. */
                r = refusal_stands(ingest->db, source, failure);
                if (r == 0)
                        r = ingest_part(ingest, &changes->parts[i], failure);
                else if (r > 0)
                        r = INGEST_SCOPE_WHOLE_SOURCE;
        }
        if (r == INGEST_SCOPE_WHOLE_SOURCE)
                forget_parts(ingest, &before);
        for (size_t i = before.n_errors; i < ingest->result->n_errors; i++)
                ingest_scope_tell(ingest, &ingest->result->errors[i]);
        if (r != INGEST_SCOPE_WHOLE_SOURCE)
                return r;
        /* Documents that wait in the batch would be taken for unknown ones. */
        r = batch_flush(ingest->batch, failure);
        if (r < 0)
                return r;
        return ingest_scope(ingest, &(const struct Scope){ source, "", false }, failure);
}

static int ingest_parts(
        const struct Ingest *ingest, const struct Changes *changes, struct Failure *failure) {
        int r = 0;

        for (const char *const *name = layout_source_names; *name && r >= 0; name++)
                r = ingest_parts_of(ingest, *name, changes, failure);
        return r;
}

/* What is to be looked at: projects, or what has changed, or neither: all. */
struct Selection {
        const struct Project *const *projects;
        size_t n_projects;
        const struct Changes *changes;
};

static int ingest_selection(
        const struct Ingest *ingest, const struct Selection *selection, struct Failure *failure) {
        if (selection->n_projects > 0)
                return ingest_projects(ingest, selection->projects, selection->n_projects, failure);
        if (selection->changes && !selection->changes->everything)
                return ingest_parts(ingest, selection->changes, failure);
        return ingest_sources(ingest, failure);
}

/* In the order of lock.h: gate, store, ingestion. */
static int open_locked(const struct Operation *operation, enum SqliteMode mode,
        struct Store **ret_store, struct Lock **ret_lock, struct Failure *failure) {
        int r;

        r = store_open(operation, mode, ret_store, failure);
        if (r < 0)
                return r;
        return lock_acquire(operation->layout->ingestion_lock, LOCK_MODE_EXCLUSIVE, operation,
                ret_lock, failure);
}

/* The texts are committed: whatever becomes of the vectors, that stays. */
static int follow_with_vectors(const struct Operation *operation, sqlite3 *db,
        struct IngestResult *result, struct Failure *failure) {
        _cleanup_failure_ struct Failure cause = { 0 };
        int r;

        r = vector_sync(operation, db, false, &result->vectors, &cause);
        if (r < 0 && cause.event != EVENT_VECTORS_FAILED) {
                if (failure && !failure_is_set(failure))
                        failure_move(failure, &cause);
                return r;
        }
        if (r >= 0 && result->vectors.pending == 0)
                return 0;
        if (asprintf(&result->vectors_problem, "%s: %s", r < 0 ? cause.code : VECTOR_EMBEDDING,
                    r < 0 ? failure_message(&cause)
                          : "The embedding server refused them one by one") < 0) {
                result->vectors_problem = NULL;
                return failure_out_of_memory(failure);
        }
        operation_notice(operation,
                &(struct Event){ .id = EVENT_VECTORS_PENDING, .error = cause.error },
                "%" PRIu64 " chunks have no vector yet, and are found by their words only: %s",
                result->vectors.pending, result->vectors_problem);
        return 0;
}

static int run(const struct Operation *operation, const struct Selection *selection,
        bool allow_mass_removal, struct IngestResult **ret_result, struct Failure *failure) {
        uint64_t started = monotonic_ms();
        _cleanup_store_ struct Store *store = NULL;
        _cleanup_lock_ struct Lock *lock = NULL;
        _cleanup_ingest_result_ struct IngestResult *result = NULL;
        _cleanup_batch_ struct Batch *batch = NULL;
        _cleanup_converters_ struct Converters *converters = NULL;
        _cleanup_unconverted_ struct Unconverted *unconverted = NULL;
        _cleanup_(moves_clear) struct Moves moves = { 0 };
        _cleanup_(unread_clear) struct Unread unread[CONVERSION_COUNT] = { 0 };
        int r;

        result = calloc(1, sizeof *result);
        if (!result)
                return failure_out_of_memory(failure);
        r = open_locked(operation, SQLITE_MODE_CREATE, &store, &lock, failure);
        if (r < 0)
                return r;
        r = batch_new(store_database(store), clock_now(operation->clock), result, &batch, failure);
        if (r < 0)
                return r;

        if (converters_new(&converter_limits, &converters) < 0 ||
                unconverted_load(operation->layout, &unconverted) < 0)
                return failure_out_of_memory(failure);

        const struct Ingest ingest = {
                .operation = operation,
                .allow_mass_removal = allow_mass_removal,
                .db = store_database(store),
                .batch = batch,
                .moves = &moves,
                .result = result,
                .converters = converters,
                .unconverted = unconverted,
                .unread = unread,
        };
        r = ingest_selection(&ingest, selection, failure);
        /* What was learned is kept, whatever ended the run. */
        remember(&ingest);
        if (r >= 0)
                r = tell_unread(&ingest, failure);
        if (r >= 0)
                r = batch_flush(batch, failure);
        if (r >= 0)
                r = follow_with_vectors(operation, store_database(store), result, failure);
        if (r < 0)
                return r;
        result->duration_ms = monotonic_ms() - started;
        *ret_result = STEAL(result);
        return 0;
}

int ingest_run(const struct Operation *operation, const struct Project *const *projects,
        size_t n_projects, bool allow_mass_removal, struct IngestResult **ret_result,
        struct Failure *failure) {
        const struct Selection selection = { .projects = projects, .n_projects = n_projects };

        return run(operation, &selection, allow_mass_removal, ret_result, failure);
}

int ingest_changes(const struct Operation *operation, const struct Changes *changes,
        struct IngestResult **ret_result, struct Failure *failure) {
        return run(operation, &(const struct Selection){ .changes = changes }, false, ret_result,
                failure);
}

int ingest_reembed(const struct Operation *operation, struct IngestResult **ret_result,
        struct Failure *failure) {
        uint64_t started = monotonic_ms();
        _cleanup_store_ struct Store *store = NULL;
        _cleanup_lock_ struct Lock *lock = NULL;
        _cleanup_ingest_result_ struct IngestResult *result = calloc(1, sizeof *result);
        int r;

        if (!result)
                return failure_out_of_memory(failure);
        r = open_locked(operation, SQLITE_MODE_WRITE, &store, &lock, failure);
        if (r >= 0)
                r = vector_sync(operation, store_database(store), true, &result->vectors, failure);
        if (r < 0)
                return r;
        if (!result->vectors.configured)
                return failure_set(failure, EVENT_CONFIG_INVALID, EINVAL, NULL,
                        "There are no vectors to be made again: set vector_store= and embedding= "
                        "in atocore.conf first");
        result->duration_ms = monotonic_ms() - started;
        *ret_result = STEAL(result);
        return 0;
}
