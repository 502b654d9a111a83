/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/ingest-scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/knowledge/ingest.h"
#include "lib/knowledge/known.h"
#include "lib/knowledge/source.h"

#define PROGRESS "Reading the sources, files"

struct Run {
        const struct Ingest *ingest;
        const struct Scope *scope;
        struct KnownDocuments *known;
        struct Failure *failure;
        uint64_t seen;
        uint64_t total; /* expected, for progress */
};

/* Path below the storage root of `path` in the scope's source; caller frees. */
static char *root_path(const struct Run *run, const char *path) {
        const struct Layout *layout = run->ingest->operation->layout;
        char *result;

        if (asprintf(&result, "%s/%s%s%s", layout_relative(layout, layout->sources),
                    run->scope->source, *path ? "/" : "", path) < 0)
                return NULL;
        return result;
}

/* An error entry, and an event that says the same: `<path> <what>: <reason>`. */
static int add_error(
        struct Run *run, enum EventId id, const char *path, const char *what, const char *reason) {
        _cleanup_free_ char *shown = root_path(run, path), *full = NULL;
        const char *root = run->ingest->operation->layout->root;

        if (!shown || asprintf(&full, "%s/%s", root, shown) < 0) {
                full = NULL;
                return failure_out_of_memory(run->failure);
        }
        if (ingest_result_add_error(run->ingest->result, shown, reason) < 0)
                return failure_out_of_memory(run->failure);
        operation_notice(run->ingest->operation, &(struct Event){ .id = id, .path = full },
                "%s %s: %s", shown, what, reason);
        return 0;
}

static int skip(struct Run *run, const char *path, const char *reason, bool unknown) {
        _cleanup_free_ char *longer = NULL;

        if (unknown && known_keep(run->known, path) > 0) {
                if (asprintf(&longer, "%s; what was known of it is kept", reason) < 0) {
                        longer = NULL;
                        return failure_out_of_memory(run->failure);
                }
                reason = longer;
        }
        return add_error(run, EVENT_INGEST_FILE_SKIPPED, path, "was not ingested", reason);
}

static int front_matter_ignored(struct Run *run, const char *path, const char *reason) {
        _cleanup_free_ char *error = NULL;

        if (asprintf(&error, "front matter ignored: %s", reason) < 0) {
                error = NULL;
                return failure_out_of_memory(run->failure);
        }
        return add_error(run, EVENT_INGEST_FRONT_MATTER_IGNORED, path, "is indexed", error);
}

/* Changed by stat, or not known at all. */
static int read_file(struct Run *run, const struct SourceFile *file, struct KnownDocument *known) {
        _cleanup_document_file_ struct DocumentFile *content = NULL;
        _cleanup_document_text_ struct DocumentText *text = NULL;
        _cleanup_close_ int fd = -1;
        char digest[DIGEST_HEX_SIZE];
        char reason[256];
        int r;

        r = source_open_file(file, &fd);
        if (r == -ENOENT)
                return 0; /* gone since the directory was read */
        if (r < 0) {
                errno = -r;
                (void) snprintf(reason, sizeof reason, "cannot be opened: %m");
                return skip(run, file->path, reason, true);
        }
        r = document_file_read(fd, &content);
        if (r == -ENOMEM)
                return failure_out_of_memory(run->failure);
        if (r < 0)
                return failure_set_read(run->failure, -r, file->path, "digest");
        if (content->problem)
                return skip(run, file->path, content->problem, content->unknown);

        if (known) {
                known->present = true;
                r = index_digest(batch_index(run->ingest->batch), known->id, digest, run->failure);
                if (r < 0)
                        return r;
                if (strcmp(digest, content->digest) == 0) {
                        run->ingest->result->files_unchanged++;
                        return batch_touch(run->ingest->batch, known->id, &content->evidence,
                                !evidence_agrees(&known->evidence, &file->status), run->failure);
                }
        }
        r = chunk_document(content->text, content->size, file->kind, &text);
        if (r < 0)
                return failure_out_of_memory(run->failure);
        if (text->front_matter_error) {
                r = front_matter_ignored(run, file->path, text->front_matter_error);
                if (r < 0)
                        return r;
        }
        return batch_put(run->ingest->batch, known ? known->id : 0, run->scope->source, file->path,
                STEAL(content), STEAL(text), run->failure);
}

static void count_seen(struct Run *run) {
        run->seen++;
        run->ingest->result->files_seen++;
        operation_progress(run->ingest->operation, PROGRESS, run->seen,
                run->seen > run->total ? run->seen : run->total);
}

static int visit_file(const struct SourceFile *file, void *userdata) {
        struct Run *run = userdata;
        struct KnownDocument *known = known_find(run->known, file->path);

        count_seen(run);
        if (!known || !evidence_proves_unchanged(&known->evidence, &file->status))
                return read_file(run, file, known);
        known->present = true;
        run->ingest->result->files_unchanged++;
        return 0;
}

static int visit_problem(const struct SourceProblem *problem, void *userdata) {
        struct Run *run = userdata;

        if (problem->is_document)
                count_seen(run);
        return skip(run, problem->path, problem->reason, problem->unknown);
}

static int count_file(const struct SourceFile *file, void *userdata) {
        (void) file;
        (*(uint64_t *) userdata)++;
        return 0;
}

static int count_problem(const struct SourceProblem *problem, void *userdata) {
        *(uint64_t *) userdata += problem->is_document;
        return 0;
}

/* How many files there will be: for a first ingest, which takes long enough to be watched, by going
 * there once more. */
static int expect(struct Run *run, struct Source *source) {
        const struct SourceVisitor visitor = { count_file, count_problem, &run->total };

        run->total = run->known->n;
        if (run->known->n > 0 || run->scope->part || !run->ingest->operation->progress)
                return 0;
        return source_walk(source, run->ingest->operation, &visitor);
}

static int walk(struct Run *run, struct Source *source) {
        const struct SourceVisitor visitor = { visit_file, visit_problem, run };
        int r;

        r = expect(run, source);
        if (r >= 0)
                r = source_walk(source, run->ingest->operation, &visitor);
        if (r == -ENOMEM)
                return failure_out_of_memory(run->failure);
        if (r == -EINTR)
                (void) operation_check(run->ingest->operation, run->failure);
        return r;
}

enum Removal {
        REMOVAL_NONE,
        REMOVAL_ACT,
        REMOVAL_REFUSED,
};

static enum Removal decide_removal(size_t known, size_t absent, uint64_t seen, bool allow_mass) {
        if (absent == 0)
                return REMOVAL_NONE;
        if (allow_mass)
                return REMOVAL_ACT;
        if (seen == 0 || (known >= INGEST_MASS_MIN && absent > known / 2))
                return REMOVAL_REFUSED;
        return REMOVAL_ACT;
}

static int refuse_removal(struct Run *run, const char *why) {
        _cleanup_free_ char *reason = NULL;

        if (asprintf(&reason,
                    "%s; its documents are kept: mount it or bring it back, or run "
                    "atocore-ingest --allow-mass-removal if they are to go",
                    why) < 0) {
                reason = NULL;
                return failure_out_of_memory(run->failure);
        }
        return add_error(
                run, EVENT_INGEST_REMOVAL_REFUSED, run->scope->subpath, "seems to be gone", reason);
}

static int remove_absent(struct Run *run) {
        for (size_t i = 0; i < run->known->n; i++) {
                const struct KnownDocument *document = &run->known->documents[i];
                int r;

                if (document->present)
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

static int remove_documents(struct Run *run) {
        size_t known = run->known->n, absent = known_count_absent(run->known);
        char why[128];

        if (run->scope->part)
                return absent > 0 ? INGEST_SCOPE_WHOLE_SOURCE : INGEST_SCOPE_DONE;
        switch (decide_removal(known, absent, run->seen, run->ingest->allow_mass_removal)) {
        case REMOVAL_NONE:
                return 0;
        case REMOVAL_ACT:
                return remove_absent(run);
        case REMOVAL_REFUSED:
                (void) snprintf(
                        why, sizeof why, "%zu of %zu known documents are not there", absent, known);
                return refuse_removal(run, why);
        }
        return 0;
}

/* The directory of the scope could not be opened. */
static int scope_unopened(struct Run *run, int error) {
        bool gone = error == ENOENT || error == ENOTDIR;
        char why[256];

        if (error == ENOMEM)
                return failure_out_of_memory(run->failure);
        /* It came and went; or it is a link, say, which is met by a walk only. */
        if (run->scope->part)
                return error == ENOENT && run->known->n == 0 ? INGEST_SCOPE_DONE
                                                             : INGEST_SCOPE_WHOLE_SOURCE;
        if (gone && run->ingest->allow_mass_removal)
                return remove_absent(run);
        if (error == EPERM)
                (void) snprintf(why, sizeof why, "is hidden: a part of its path begins with a dot");
        else if (gone)
                (void) snprintf(
                        why, sizeof why, "is no directory or file (links are not followed)");
        else {
                errno = error;
                (void) snprintf(why, sizeof why, "cannot be opened: %m");
        }
        if (run->known->n > 0)
                return refuse_removal(run, why);
        if (gone && !run->scope->expected)
                return 0;
        return add_error(
                run, EVENT_INGEST_FILE_SKIPPED, run->scope->subpath, "was not ingested", why);
}

int ingest_scope(const struct Ingest *ingest, const struct Scope *scope, struct Failure *failure) {
        _cleanup_free_ char *directory = NULL;
        _cleanup_known_ struct KnownDocuments *known = NULL;
        _cleanup_source_ struct Source *source = NULL;
        int r;

        if (asprintf(&directory, "%s/%s", ingest->operation->layout->sources, scope->source) < 0) {
                directory = NULL;
                return failure_out_of_memory(failure);
        }
        r = known_load(ingest->db, scope->source, scope->subpath, &known, failure);
        if (r < 0)
                return r;

        struct Run run = { .ingest = ingest, .scope = scope, .known = known, .failure = failure };
        r = source_open(directory, scope->subpath, &source);
        if (r < 0)
                return scope_unopened(&run, -r);
        r = walk(&run, source);
        return r < 0 ? r : remove_documents(&run);
}
