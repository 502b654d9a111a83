/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/knowledge/ingest-scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/knowledge/ingest-run.h"
#include "lib/knowledge/source.h"

#define PROGRESS "Reading the sources, files"

static int skip(struct IngestRun *run, const char *path, const char *reason, bool unknown) {
        _cleanup_free_ char *longer = NULL;

        if (unknown && known_keep(run->known, path) > 0) {
                if (asprintf(&longer, "%s; what was known of it is kept", reason) < 0) {
                        longer = NULL;
                        return failure_out_of_memory(run->failure);
                }
                reason = longer;
        }
        return ingest_run_error(run, EVENT_INGEST_FILE_SKIPPED, path, reason);
}

static int front_matter_ignored(struct IngestRun *run, const char *path, const char *reason) {
        _cleanup_free_ char *error = NULL;

        if (asprintf(&error, "front matter ignored: %s", reason) < 0) {
                error = NULL;
                return failure_out_of_memory(run->failure);
        }
        return ingest_run_error(run, EVENT_INGEST_FRONT_MATTER_IGNORED, path, error);
}

/* Whether a file is to be read: it is text, or there is a program to convert it and it is not known
 * that this comes to nothing. *ret_identity is that of the program, else NULL. */
static int may_read(
        struct IngestRun *run, const struct SourceFile *file, const char **ret_identity) {
        const struct Ingest *ingest = run->ingest;
        struct Unread *unread = &ingest->unread[file->conversion];
        _cleanup_free_ char *path = NULL;
        struct UnconvertedFile known;
        const char *why;

        *ret_identity = NULL;
        if (file->conversion == CONVERSION_NONE)
                return 1;
        path = ingest_run_path(run, file->path);
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
static int read_content(struct IngestRun *run, const struct SourceFile *file, int *ret_fd,
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

static int not_converted(struct IngestRun *run, const struct SourceFile *file, const char *identity,
        const struct DocumentFile *content, const struct ConvertedText *text) {
        const struct UnconvertedFile unconverted = {
                .evidence = content->evidence,
                .converter = identity,
                .reason = text->problem,
                .unknown = text->unknown,
        };
        _cleanup_free_ char *path = ingest_run_path(run, file->path);

        if (!path ||
                (!text->passing &&
                        unconverted_put(run->ingest->unconverted, path, &unconverted) < 0))
                return failure_out_of_memory(run->failure);
        return skip(run, file->path, text->problem, text->unknown);
}

static int warned(struct IngestRun *run, const struct SourceFile *file, const char *warning) {
        _cleanup_free_ char *error = NULL;

        if (asprintf(&error, "%s complained: %s; parts of the text may be missing",
                    conversion_kinds[file->conversion].program, warning) < 0) {
                error = NULL;
                return failure_out_of_memory(run->failure);
        }
        return ingest_run_error(run, EVENT_INGEST_CONVERSION_WARNING, file->path, error);
}

/* 1: the content has its text. */
static int convert(struct IngestRun *run, const struct SourceFile *file, const char *identity,
        int fd, struct DocumentFile *content) {
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
static int is_unchanged(struct IngestRun *run, const struct SourceFile *file,
        struct KnownDocument *known, const struct DocumentFile *content) {
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

static int put_content(struct IngestRun *run, const struct SourceFile *file,
        struct KnownDocument *known, struct DocumentFile **content) {
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
        if (moves_add(run->ingest->moves, run->scope.source, (*content)->digest) < 0)
                return failure_out_of_memory(run->failure);
        return batch_put(run->ingest->batch, known ? known->id : 0, run->scope.source, file->path,
                STEAL(*content), STEAL(text), run->failure);
}

/* Changed by stat, or not known at all. */
static int read_file(
        struct IngestRun *run, const struct SourceFile *file, struct KnownDocument *known) {
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

static void count_seen(struct IngestRun *run) {
        run->seen++;
        run->ingest->result->files_seen++;
        operation_progress(run->ingest->operation, PROGRESS, run->seen,
                run->seen > run->total ? run->seen : run->total);
}

static int visit_file(const struct SourceFile *file, void *userdata) {
        struct IngestRun *run = userdata;
        struct KnownDocument *known = known_find(run->known, file->path);

        count_seen(run);
        if (!known || !evidence_proves_unchanged(&known->evidence, &file->status))
                return read_file(run, file, known);
        known->present = true;
        run->ingest->result->files_unchanged++;
        return 0;
}

static int visit_problem(const struct SourceProblem *problem, void *userdata) {
        struct IngestRun *run = userdata;

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
static int expect(struct IngestRun *run, struct Source *source) {
        const struct SourceVisitor visitor = { count_file, count_problem, &run->total };

        run->total = run->known->n;
        if (run->known->n > 0 || run->scope.part || !run->ingest->operation->progress)
                return 0;
        return source_walk(source, run->ingest->operation, &visitor);
}

static int walk(struct IngestRun *run, struct Source *source) {
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

/* Not at all when its directory cannot be opened. */
static int read_scope(struct IngestRun *run) {
        const struct Layout *layout = run->ingest->operation->layout;
        _cleanup_free_ char *directory = NULL, *shown = NULL;
        _cleanup_source_ struct Source *source = NULL;
        int r;

        if (asprintf(&directory, "%s/%s", layout->sources, run->scope.source) < 0) {
                directory = NULL;
                return failure_out_of_memory(run->failure);
        }
        r = known_load(
                run->ingest->db, run->scope.source, run->scope.subpath, &run->known, run->failure);
        if (r < 0)
                return r;
        r = source_open(directory, run->scope.subpath, &source);
        if (r == -ENOMEM)
                return failure_out_of_memory(run->failure);
        run->unopened = -r;
        if (r < 0)
                return 0;
        r = walk(run, source);
        if (r < 0)
                return r;
        shown = ingest_run_path(run, run->scope.subpath);
        if (!shown)
                return failure_out_of_memory(run->failure);
        unconverted_sweep(run->ingest->unconverted, shown);
        return 0;
}

int ingest_scope_read(const struct Ingest *ingest, const struct Scope *scope,
        struct IngestRun **ret_run, struct Failure *failure) {
        _cleanup_ingest_run_ struct IngestRun *run = calloc(1, sizeof *run);
        int r;

        if (!run)
                return failure_out_of_memory(failure);
        *run = (struct IngestRun){ .ingest = ingest, .scope = *scope, .failure = failure };
        r = read_scope(run);
        if (r < 0)
                return r;
        *ret_run = STEAL(run);
        return 0;
}

int ingest_scope(const struct Ingest *ingest, const struct Scope *scope, struct Failure *failure) {
        _cleanup_ingest_run_ struct IngestRun *run = NULL;
        int r = ingest_scope_read(ingest, scope, &run, failure);

        return r < 0 ? r : ingest_scope_remove(run);
}
