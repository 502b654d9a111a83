/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/knowledge/ingest-run.h"
#include "lib/knowledge/ingest.h"
#include "lib/knowledge/refusal.h"
#include "lib/knowledge/source.h"

#define SEEMS_GONE "seems to be gone"

char *ingest_run_path(const struct IngestRun *run, const char *path) {
        const struct Layout *layout = run->ingest->operation->layout;
        char *result;

        if (asprintf(&result, "%s/%s%s%s", layout_relative(layout, layout->sources),
                    run->scope.source, *path ? "/" : "", path) < 0)
                return NULL;
        return result;
}

static const char *what_became(enum EventId id) {
        switch (id) {
        case EVENT_INGEST_FILE_SKIPPED:
                return "was not ingested";
        case EVENT_INGEST_REMOVAL_REFUSED:
                return SEEMS_GONE;
        default:
                return "is indexed";
        }
}

void ingest_scope_tell(const struct Ingest *ingest, const struct IngestError *error) {
        _cleanup_free_ char *full = NULL;

        if (asprintf(&full, "%s/%s", ingest->operation->layout->root, error->path) < 0)
                full = NULL;
        operation_notice(ingest->operation, &(struct Event){ .id = error->id, .path = full },
                "%s %s: %s", error->path, what_became(error->id), error->error);
}

int ingest_run_error(struct IngestRun *run, enum EventId id, const char *path, const char *reason) {
        struct IngestResult *result = run->ingest->result;
        _cleanup_free_ char *shown = ingest_run_path(run, path);

        if (!shown || ingest_result_add_error(result, id, shown, reason) < 0)
                return failure_out_of_memory(run->failure);
        if (!run->scope.part)
                ingest_scope_tell(run->ingest, &result->errors[result->n_errors - 1]);
        return 0;
}

struct IngestRun *ingest_run_free(struct IngestRun *run) {
        if (run)
                (void) known_free(run->known);
        free(run);
        return NULL;
}

static bool is_refused(size_t known, size_t gone, uint64_t seen, bool allow_mass) {
        return gone > 0 && !allow_mass &&
                (seen == 0 || (known >= INGEST_MASS_MIN && gone > known / 2));
}

/* Marks those whose content was met elsewhere, and counts the others. Asked for only where all that
 * are absent would be too many: a digest each is read for it. */
static int find_moved(struct IngestRun *run, size_t *gone) {
        struct Index *index = batch_index(run->ingest->batch);

        for (size_t i = 0; i < run->known->n; i++) {
                struct KnownDocument *document = &run->known->documents[i];
                char digest[DIGEST_HEX_SIZE];
                int r;

                if (document->present)
                        continue;
                r = operation_check(run->ingest->operation, run->failure);
                if (r >= 0)
                        r = index_digest(index, document->id, digest, run->failure);
                if (r < 0)
                        return r;
                document->moved = moves_take(run->ingest->moves, run->scope.source, digest);
                *gone -= document->moved;
        }
        return 0;
}

static int remove_absent(struct IngestRun *run, bool moved_only) {
        for (size_t i = 0; i < run->known->n; i++) {
                const struct KnownDocument *document = &run->known->documents[i];
                int r;

                if (document->present || (moved_only && !document->moved))
                        continue;
                r = operation_check(run->ingest->operation, run->failure);
                if (r < 0)
                        return r;
                r = batch_remove(run->ingest->batch, document->id, run->failure);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What was moved is not kept: it would be found twice, once where it is not. */
static int refuse(struct IngestRun *run, const char *why) {
        _cleanup_free_ char *reason = NULL, *shown = NULL, *sentence = NULL;
        int r;

        if (asprintf(&reason,
                    "%s; its documents are kept: mount it or bring it back, or run "
                    "atocore-ingest --allow-mass-removal if they are to go",
                    why) < 0) {
                reason = NULL;
                return failure_out_of_memory(run->failure);
        }
        shown = ingest_run_path(run, run->scope.subpath);
        if (!shown || asprintf(&sentence, "%s " SEEMS_GONE ": %s", shown, reason) < 0) {
                sentence = NULL;
                return failure_out_of_memory(run->failure);
        }
        r = refusal_put(
                run->ingest->db, run->scope.source, run->scope.subpath, sentence, run->failure);
        if (r >= 0)
                r = remove_absent(run, true);
        if (r < 0)
                return r;
        return ingest_run_error(run, EVENT_INGEST_REMOVAL_REFUSED, run->scope.subpath, reason);
}

static int answer_part(const struct IngestRun *run, size_t absent) {
        /* It came and went; or it is a link, say, which is met by a walk only. */
        if (run->unopened != 0)
                return (run->unopened == ENOENT || run->unopened == EMEDIUMTYPE) &&
                                run->known->n == 0
                        ? INGEST_SCOPE_DONE
                        : INGEST_SCOPE_WHOLE_SOURCE;
        return absent > 0 ? INGEST_SCOPE_WHOLE_SOURCE : INGEST_SCOPE_DONE;
}

int ingest_scope_remove(struct IngestRun *run) {
        size_t known = run->known->n, gone = known_count_absent(run->known);
        bool no_directory =
                run->unopened == ENOENT || run->unopened == ENOTDIR || run->unopened == EMEDIUMTYPE;
        /* What cannot be looked at may be there, whatever is allowed or was met elsewhere. */
        bool certain = run->unopened == 0 || no_directory;
        bool allow_mass = run->ingest->allow_mass_removal && certain;
        char why[256];
        int r = 0;

        if (run->scope.part)
                return answer_part(run, gone);
        if (certain && is_refused(known, gone, run->seen, allow_mass))
                r = find_moved(run, &gone);
        if (r < 0)
                return r;
        if (run->unopened != 0)
                source_unopened(run->unopened, why, sizeof why);
        else
                (void) snprintf(
                        why, sizeof why, "%zu of %zu known documents are not there", gone, known);
        if (is_refused(known, gone, run->seen, allow_mass))
                return refuse(run, why);

        r = refusal_clear(run->ingest->db, run->scope.source, run->scope.subpath, run->failure);
        if (r >= 0)
                r = remove_absent(run, false);
        if (r < 0 || run->unopened == 0 || (no_directory && (allow_mass || !run->scope.expected)))
                return r;
        return ingest_run_error(run, EVENT_INGEST_FILE_SKIPPED, run->scope.subpath, why);
}
