/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * config/project-registry.json: the registered projects, each a view of the sources by path.
 */

#include <stddef.h>

#include "lib/base/failure.h"
#include "lib/knowledge/name-index.h"

#define REGISTRY_FILE_MAX  (4u << 20) /* bytes */
#define REGISTRY_DEPTH_MAX 32         /* of JSON */
#define REGISTRY_ROOTS_MAX 1000       /* of one project */

struct IngestRoot {
        char *source;  /* one of layout_source_names */
        char *subpath; /* below the source, normalised: no leading or trailing slash, "" for all */
        char *label;   /* maybe NULL */
};

struct Project {
        char *id;
        char **aliases;    /* NULL-terminated */
        char *description; /* maybe NULL */
        struct IngestRoot *roots;
        size_t n_roots;
};

struct Registry {
        struct Project *projects;
        size_t n_projects;
        struct NameIndex *names; /* ids and aliases */
};

/* Reads and checks the whole file. Absent: -ENOENT, without a failure. Not as it must be (no JSON,
 * an array instead of an object, a field given twice, an id or alias given twice without regard to
 * case, an unknown source, a subpath that leaves it): REGISTRY_INVALID, -EBADMSG, with a sentence
 * that names the line, the project and the field. Fields that it does not know are ignored. */
int registry_load(const char *path, struct Registry **ret_registry, struct Failure *failure);

/* Its two halves. The text has a NUL behind it; the caller frees it. */
int registry_read(const char *path, char **ret_text, size_t *ret_size, struct Failure *failure);
/* The failure that belongs to -errno of reading it. */
int registry_unreadable(const char *path, int r, struct Failure *failure);
int registry_parse_text(const char *path, const char *text, size_t size,
        struct Registry **ret_registry, struct Failure *failure);

struct Registry *registry_free(struct Registry *registry);
DEFINE_POINTER_CLEANUP(struct Registry *, registry_free)
#define _cleanup_registry_ _cleanup_(registry_freep)

/* By id or alias, without regard to case (Unicode). NULL when there is none. */
const struct Project *registry_find(const struct Registry *registry, const char *name);
/* "a, b, c" for messages; caller frees; NULL when memory ran out. */
char *registry_known_ids(const struct Registry *registry);
