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

static const char *what_became(enum EventId id) {
        switch (id) {
        case EVENT_INGEST_FILE_SKIPPED:
                return "was not ingested";
        case EVENT_INGEST_REMOVAL_REFUSED:
                return "seems to be gone";
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

/* An error entry, and an event that says the same. */
static int add_error(struct Run *run, enum EventId id, const char *path, const char *reason) {
        struct IngestResult *result = run->ingest->result;
        _cleanup_free_ char *shown = root_path(run, path);

        if (!shown || ingest_result_add_error(result, id, shown, reason) < 0)
                return failure_out_of_memory(run->failure);
        if (!run->scope->part)
                ingest_scope_tell(run->ingest, &result->errors[result->n_errors - 1]);
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
        return add_error(run, EVENT_INGEST_FILE_SKIPPED, path, reason);
}

static int front_matter_ignored(struct Run *run, const char *path, const char *reason) {
        _cleanup_free_ char *error = NULL;

        if (asprintf(&error, "front matter ignored: %s", reason) < 0) {
                error = NULL;
                return failure_out_of_memory(run->failure);
        }
        return add_error(run, EVENT_INGEST_FRONT_MATTER_IGNORED, path, error);
}

/* Whether a file is to be read: it is text, or there is a program to convert it and it is not known
 * that this comes to nothing. *ret_identity is that of the program, else NULL. */
static int may_read(struct Run *run, const struct SourceFile *file, const char **ret_identity) {
        const struct Ingest *ingest = run->ingest;
        struct Unread *unread = &ingest->unread[file->conversion];
        _cleanup_free_ char *path = NULL;
        struct UnconvertedFile known;
        const char *why;

        *ret_identity = NULL;
        if (file->conversion == CONVERSION_NONE)
                return 1;
        path = root_path(run, file->path);
        if (!path || converters_find(ingest->converters, file->conversion, ret_identity, &why) < 0)
                return failure_out_of_memory(run->failure);
        if (!*ret_identity) {
                if (unconverted_keep(ingest->unconverted, path) < 0)
                        return failure_out_of_memory(run->failure);
                (void) known_keep(run->known, file->path);
                unread->n++;
                unread->why = why;
                if (!unread->first)
                        unread->first = STEAL(path);
                return 0;
        }
        if (!unconverted_find(ingest->unconverted, path, &known) ||
                !evidence_proves_unchanged(&known.evidence, &file->status) ||
                strcmp(known.converter, *ret_identity) != 0)
                return 1;
        if (unconverted_keep(ingest->unconverted, path) < 0)
                return failure_out_of_memory(run->failure);
        return skip(run, file->path, known.reason, known.unknown);
}

/* 1: *ret_content is something to go on with. */
static int read_content(struct Run *run, const struct SourceFile *file, int *ret_fd,
        struct DocumentFile **ret_content) {
        bool text = file->conversion == CONVERSION_NONE || file->conversion == CONVERSION_HTML;
        _cleanup_document_file_ struct DocumentFile *content = NULL;
        char reason[256];
        int r;

        r = source_open_file(file, ret_fd);
        if (r == -ENOENT)
                return 0; /* gone since the directory was read */
        if (r < 0) {
                errno = -r;
                (void) snprintf(reason, sizeof reason, "cannot be opened: %m");
                return skip(run, file->path, reason, true);
        }
        r = text ? document_file_read(*ret_fd, &content) : document_file_examine(*ret_fd, &content);
        if (r == -ENOMEM)
                return failure_out_of_memory(run->failure);
        if (r < 0)
                return failure_set_read(run->failure, -r, file->path, "digest");
        if (content->problem)
                return skip(run, file->path, content->problem, content->unknown);
        if (file->conversion != CONVERSION_NONE && file->status.st_size == 0)
                return skip(run, file->path, "is empty", false);
        *ret_content = STEAL(content);
        return 1;
}

static int not_converted(struct Run *run, const struct SourceFile *file, const char *identity,
        const struct DocumentFile *content, const struct ConvertedText *text) {
        const struct UnconvertedFile unconverted = {
                .evidence = content->evidence,
                .converter = identity,
                .reason = text->problem,
                .unknown = text->unknown,
        };
        _cleanup_free_ char *path = root_path(run, file->path);

        if (!path ||
                (!text->passing &&
                        unconverted_put(run->ingest->unconverted, path, &unconverted) < 0))
                return failure_out_of_memory(run->failure);
        return skip(run, file->path, text->problem, text->unknown);
}

static int warned(struct Run *run, const struct SourceFile *file, const char *warning) {
        _cleanup_free_ char *error = NULL;

        if (asprintf(&error, "%s complained: %s; parts of the text may be missing",
                    conversion_kinds[file->conversion].program, warning) < 0) {
                error = NULL;
                return failure_out_of_memory(run->failure);
        }
        return add_error(run, EVENT_INGEST_CONVERSION_WARNING, file->path, error);
}

/* 1: the content has its text. */
static int convert(struct Run *run, const struct SourceFile *file, const char *identity, int fd,
        struct DocumentFile *content) {
        _cleanup_converted_text_ struct ConvertedText *text = NULL;
        struct stat status;
        int r;

        r = converters_run(run->ingest->converters, run->ingest->operation, file->conversion, fd,
                &text, run->failure);
        if (r < 0)
                return r;
        /* The digest is of what was there before; the text must not be of something else. */
        if (fstat(fd, &status) < 0 || !evidence_agrees(&content->evidence, &status))
                return skip(run, file->path,
                        "was changed while it was converted; the next run reads it again", true);
        if (text->problem)
                return not_converted(run, file, identity, content, text);
        if (text->warning) {
                r = warned(run, file, text->warning);
                if (r < 0)
                        return r;
        }
        free(content->text);
        content->text = STEAL(text->text);
        content->size = text->size;
        return 1;
}

/* The same content as is known; 1 when it is. */
static int is_unchanged(struct Run *run, const struct SourceFile *file, struct KnownDocument *known,
        const struct DocumentFile *content) {
        char digest[DIGEST_HEX_SIZE];
        int r;

        r = index_digest(batch_index(run->ingest->batch), known->id, digest, run->failure);
        if (r < 0 || strcmp(digest, content->digest) != 0)
                return r;
        known->present = true;
        run->ingest->result->files_unchanged++;
        r = batch_touch(run->ingest->batch, known->id, &content->evidence,
                !evidence_agrees(&known->evidence, &file->status), run->failure);
        return r < 0 ? r : 1;
}

static int put_content(struct Run *run, const struct SourceFile *file, struct KnownDocument *known,
        struct DocumentFile **content) {
        _cleanup_document_text_ struct DocumentText *text = NULL;
        int r;

        r = chunk_document((*content)->text, (*content)->size, file->kind, &text);
        if (r < 0)
                return failure_out_of_memory(run->failure);
        if (text->front_matter_error) {
                r = front_matter_ignored(run, file->path, text->front_matter_error);
                if (r < 0)
                        return r;
        }
        if (file->conversion != CONVERSION_NONE && text->title)
                converted_title(text->title);
        if (known)
                known->present = true;
        return batch_put(run->ingest->batch, known ? known->id : 0, run->scope->source, file->path,
                STEAL(*content), STEAL(text), run->failure);
}

/* Changed by stat, or not known at all. */
static int read_file(struct Run *run, const struct SourceFile *file, struct KnownDocument *known) {
        _cleanup_document_file_ struct DocumentFile *content = NULL;
        _cleanup_close_ int fd = -1;
        const char *identity;
        int r;

        r = may_read(run, file, &identity);
        if (r <= 0)
                return r;
        r = read_content(run, file, &fd, &content);
        if (r <= 0)
                return r;
        if (known) {
                r = is_unchanged(run, file, known, content);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        if (identity) {
                r = convert(run, file, identity, fd, content);
                if (r <= 0)
                        return r;
        }
        return put_content(run, file, known, &content);
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
        return add_error(run, EVENT_INGEST_REMOVAL_REFUSED, run->scope->subpath, reason);
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
        bool gone = error == ENOENT || error == ENOTDIR || error == EMEDIUMTYPE;
        char why[256];

        if (error == ENOMEM)
                return failure_out_of_memory(run->failure);
        /* It came and went; or it is a link, say, which is met by a walk only. */
        if (run->scope->part)
                return (error == ENOENT || error == EMEDIUMTYPE) && run->known->n == 0
                        ? INGEST_SCOPE_DONE
                        : INGEST_SCOPE_WHOLE_SOURCE;
        if (gone && run->ingest->allow_mass_removal)
                return remove_absent(run);
        source_unopened(error, why, sizeof why);
        if (run->known->n > 0)
                return refuse_removal(run, why);
        if (gone && !run->scope->expected)
                return 0;
        return add_error(run, EVENT_INGEST_FILE_SKIPPED, run->scope->subpath, why);
}

int ingest_scope(const struct Ingest *ingest, const struct Scope *scope, struct Failure *failure) {
        _cleanup_free_ char *directory = NULL, *shown = NULL;
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
        if (r < 0)
                return r;
        shown = root_path(&run, scope->subpath);
        if (!shown)
                return failure_out_of_memory(failure);
        unconverted_sweep(ingest->unconverted, shown);
        return remove_documents(&run);
}
