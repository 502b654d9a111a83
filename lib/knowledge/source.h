/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The files of a source that are documents by their names. Read-only; names are bytes.
 *
 * - Documents are *.md and *.markdown, as plain text *.txt, *.text, *.rst and *.org, and what can
 *   be converted: *.html, *.htm, *.xhtml, *.pdf, *.docx and *.odt, in any case. Other files are not
 * seen at all, and neither is what begins with a dot (.obsidian, .git, .trash), with all below it.
 * - The directory of the source itself may be a link (to a vault elsewhere). Links below are not
 *   followed: what they point to inside the source is met under its own path, so that nothing is
 *   there twice and no loop has to end. Only a link to a file that is not met itself, as its name
 * is hidden or no document's (git-annex), counts as that file. A link out of its source is a
 * problem.
 * - Where a link leads is asked of the kernel once it is resolved (O_PATH, /proc/self/fd), which
 *   takes absolute links into the source as what they are, and needs no openat2(2).
 * - Nothing is opened by more than one name below a directory that is open: what is renamed or
 *   replaced by a link meanwhile leads nowhere else.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/operation.h"
#include "lib/knowledge/chunker.h"
#include "lib/knowledge/converter.h"

#define SOURCE_DEPTH_MAX 128 /* directories inside each other; each is an open file meanwhile */

struct SourceFile {
        const char *path;       /* below the source, valid UTF-8 */
        enum DocumentKind kind; /* of its text */
        enum Conversion conversion;
        struct stat status;
        /* Where it is opened: `name` in dir_fd, or link_fd, an O_PATH descriptor, where that is not
         * negative. */
        int dir_fd;
        const char *name;
        int link_fd;
};

struct SourceProblem {
        const char *path; /* below the source, "" is the source itself; escaped where it must be */
        const char *reason; /* "is a FIFO, not a file" */
        bool is_document;   /* counts as a file that was seen */
        /* What is known of this path and all below it may be as it was: it could not be looked at.
         * Otherwise it is certain that no document is there. */
        bool unknown;
};

/* All may end the walk with a negative value. What they are given lives as long as the call. */
struct SourceVisitor {
        int (*file)(const struct SourceFile *file, void *userdata);
        int (*problem)(const struct SourceProblem *problem, void *userdata);
        void *userdata;
        /* Each directory before it is read; "" is the source itself. May be NULL. */
        int (*directory)(const char *path, int dir_fd, void *userdata);
};

struct Source;

/* Opens `directory`, that of a source, and in it `subpath` ("" for all), which may be a document.
 * The way there must be directories that are no links and not hidden. -errno: -ENOENT, -ENOTDIR: it
 * is not there; -EMEDIUMTYPE: it is a file, but no document; -EPERM: it is hidden; others: it
 * cannot be told. */
int source_open(const char *directory, const char *subpath, struct Source **ret_source);
/* Why it was not opened, for people: "is hidden: …". `error` is positive. */
void source_unopened(int error, char *ret_reason, size_t size);
struct Source *source_close(struct Source *source);
DEFINE_POINTER_CLEANUP(struct Source *, source_close)
#define _cleanup_source_ _cleanup_(source_closep)

/* All documents at and below the subpath, by name in each directory. What the visitor ended with;
 * -ENOMEM; -EINTR when cancelled. */
int source_walk(struct Source *source, const struct Operation *operation,
        const struct SourceVisitor *visitor);

/* Whether a walk looks at what has this name in a directory, as far as the name tells. */
bool source_concerns(const char *name, bool is_directory);

/* Never waits, whatever is there by now. The caller looks what it is. -errno. */
int source_open_file(const struct SourceFile *file, int *ret_fd);
